//! Answers every function by calling it on what it imports: each value crosses from one component to another.
#![expect(
    unsafe_code,
    missing_docs,
    reason = "generated: the calling convention of components, and the items of the WIT"
)]

wit_bindgen::generate!({ world: "call-values", path: "wit", ownership: Owning, additional_derives: [Clone] });

use exports::test::values::{rounds, values as exported};
use test::values::types::{Few, Level, Line, Many, Order, Point, Scalars, Shape, Target};
use test::values::values;

struct Call;

impl exported::Guest for Call {
    fn nothing() {
        values::nothing()
    }
    fn flag(value: bool) -> bool {
        values::flag(value)
    }
    fn tiny(value: i8) -> i8 {
        values::tiny(value)
    }
    fn small(value: u16) -> u16 {
        values::small(value)
    }
    fn number(value: u32) -> u32 {
        values::number(value)
    }
    fn large(value: i64) -> i64 {
        values::large(value)
    }
    fn float(value: f32) -> f32 {
        values::float(value)
    }
    fn double(value: f64) -> f64 {
        values::double(value)
    }
    fn letter(value: char) -> char {
        values::letter(value)
    }
    fn one_level(value: Level) -> Level {
        values::one_level(value)
    }
    fn few_flags(value: Few) -> Few {
        values::few_flags(value)
    }
    fn many_flags(value: Many) -> Many {
        values::many_flags(value)
    }
    fn empty_outcome(value: Result<(), ()>) -> Result<(), ()> {
        values::empty_outcome(value)
    }
    fn text(value: String) -> String {
        values::text(&value)
    }
    fn bytes(value: Vec<u8>) -> Vec<u8> {
        values::bytes(&value)
    }
    fn one_shape(value: Shape) -> Shape {
        values::one_shape(&value)
    }
    fn one_point(value: Point) -> Point {
        values::one_point(value)
    }
    fn all_scalars(value: Scalars) -> Scalars {
        values::all_scalars(value)
    }
    fn one_order(value: Order) -> Order {
        values::one_order(&value)
    }
    fn maybe(value: Option<Option<u32>>) -> Option<Option<u32>> {
        values::maybe(value)
    }
    fn outcome(value: Result<Vec<u8>, String>) -> Result<Vec<u8>, String> {
        values::outcome(value.as_deref().map_err(String::as_str))
    }
    fn error_only(value: Result<(), Shape>) -> Result<(), Shape> {
        values::error_only(value.as_ref().copied())
    }
    fn texts(value: Vec<String>) -> Vec<String> {
        values::texts(&value)
    }
    fn numbers(value: Vec<u16>) -> Vec<u16> {
        values::numbers(&value)
    }
    fn doubles(value: Vec<f64>) -> Vec<f64> {
        values::doubles(&value)
    }
    fn flags_list(value: Vec<Many>) -> Vec<Many> {
        values::flags_list(&value)
    }
    fn tuples(value: Vec<(u8, u64, u16)>) -> Vec<(u8, u64, u16)> {
        values::tuples(&value)
    }
    fn nested(value: Vec<Option<Vec<Vec<u8>>>>) -> Vec<Option<Vec<Vec<u8>>>> {
        values::nested(&value)
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
        values::sixteen(a, b, c, d, &e, &f, &g, h, i, j)
    }
    fn many_parameters(
        a: String,
        b: Vec<u8>,
        c: String,
        d: Shape,
        e: Scalars,
        f: bool,
    ) -> (String, Vec<u8>, String, Shape, Scalars, bool) {
        values::many_parameters(&a, &b, &c, &d, e, f)
    }
    fn targeted(target: Target, value: u32) -> (Target, u32) {
        values::targeted(&target, value)
    }
}

impl rounds::Guest for Call {
    fn numbers(times: u32) {
        for number in 0..times {
            assert_eq!(values::number(number), number);
        }
    }

    fn bytes(size: u32, times: u32) {
        let bytes: Vec<u8> = (0..size).map(|index| index as u8).collect();
        for _ in 0..times {
            assert_eq!(values::bytes(&bytes).len(), bytes.len());
        }
    }

    fn orders(lines: u32, times: u32) {
        let line = Line {
            product: 7_340_112,
            title: "A product with an ordinary title".to_owned(),
            quantity: 3,
            price: 129_000,
            tags: vec!["new".to_owned(), "sale".to_owned()],
            discount: Some(9_000),
        };
        let order = Order {
            id: 1,
            buyer: "a buyer".to_owned(),
            note: None,
            level: Level::High,
            rights: Few::A | Few::C,
            lines: vec![line; lines as usize],
            attachments: Vec::new(),
            shapes: Vec::new(),
            outcome: Ok(Point { x: 1, y: -1 }),
        };
        for _ in 0..times {
            assert_eq!(values::one_order(&order).lines.len(), order.lines.len());
        }
    }
}

export!(Call);
