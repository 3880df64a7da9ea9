//! Returns what it is given, for every kind of WIT value.
#![expect(
    unsafe_code,
    missing_docs,
    reason = "generated: the calling convention of components, and the items of the WIT"
)]

wit_bindgen::generate!({ world: "echo-values", path: "wit" });

use exports::test::values::values::Guest;
use test::values::types::{Few, Level, Many, Order, Point, Scalars, Shape, Target};

struct Echo;

impl Guest for Echo {
    fn nothing() {}
    fn flag(value: bool) -> bool {
        value
    }
    fn tiny(value: i8) -> i8 {
        value
    }
    fn small(value: u16) -> u16 {
        value
    }
    fn number(value: u32) -> u32 {
        value
    }
    fn large(value: i64) -> i64 {
        value
    }
    fn float(value: f32) -> f32 {
        value
    }
    fn double(value: f64) -> f64 {
        value
    }
    fn letter(value: char) -> char {
        value
    }
    fn one_level(value: Level) -> Level {
        value
    }
    fn few_flags(value: Few) -> Few {
        value
    }
    fn many_flags(value: Many) -> Many {
        value
    }
    fn empty_outcome(value: Result<(), ()>) -> Result<(), ()> {
        value
    }
    fn text(value: String) -> String {
        value
    }
    fn bytes(value: Vec<u8>) -> Vec<u8> {
        value
    }
    fn one_shape(value: Shape) -> Shape {
        value
    }
    fn one_point(value: Point) -> Point {
        value
    }
    fn all_scalars(value: Scalars) -> Scalars {
        value
    }
    fn one_order(value: Order) -> Order {
        value
    }
    fn maybe(value: Option<Option<u32>>) -> Option<Option<u32>> {
        value
    }
    fn outcome(value: Result<Vec<u8>, String>) -> Result<Vec<u8>, String> {
        value
    }
    fn error_only(value: Result<(), Shape>) -> Result<(), Shape> {
        value
    }
    fn texts(value: Vec<String>) -> Vec<String> {
        value
    }
    fn numbers(value: Vec<u16>) -> Vec<u16> {
        value
    }
    fn doubles(value: Vec<f64>) -> Vec<f64> {
        value
    }
    fn flags_list(value: Vec<Many>) -> Vec<Many> {
        value
    }
    fn tuples(value: Vec<(u8, u64, u16)>) -> Vec<(u8, u64, u16)> {
        value
    }
    fn nested(value: Vec<Option<Vec<Vec<u8>>>>) -> Vec<Option<Vec<Vec<u8>>>> {
        value
    }
    fn sixteen(
        a: bool,
        b: u8,
        c: i16,
        d: f32,
        e: String,
        f: Vec<u8>,
        g: Shape,
        h: Option<f64>,
        i: Level,
        j: Few,
    ) -> (bool, u8, i16, f32, String, Vec<u8>, Shape, Option<f64>, Level, Few) {
        (a, b, c, d, e, f, g, h, i, j)
    }
    fn many_parameters(
        a: String,
        b: Vec<u8>,
        c: String,
        d: Shape,
        e: Scalars,
        f: bool,
    ) -> (String, Vec<u8>, String, Shape, Scalars, bool) {
        (a, b, c, d, e, f)
    }
    fn targeted(target: Target, value: u32) -> (Target, u32) {
        (target, value)
    }
}

export!(Echo);
