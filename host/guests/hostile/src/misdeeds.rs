//! Everything but statements that a module may try: each by its name, in the file of its kind.

use std::hint::black_box;

use sdk::bindings::nexus::durable::workflows;

use crate::bindings::exports::nexus::http::handler::Response;
use crate::bindings::hostile::guest::mirror;

mod answers;
mod floods;
mod handles;
mod transactions;

type Misdeed = fn() -> Response;

const MISDEEDS: &[(&str, Misdeed)] = &[
    ("loop", endless_loop),
    ("allocate", allocate),
    ("recurse", endless_recursion),
    ("panic", || panic!("on purpose")),
    ("exit", || std::process::exit(0)),
    ("sleep", sleep),
    ("read-a-file", read_a_file),
    ("call-deep", || answers::plain(format!("{} deep", mirror::deeper(100)))),
    ("call-for-ever", || {
        loop {
            mirror::deeper(0);
        }
    }),
    ("status-0", || answers::with_status(0)),
    ("status-101", || answers::with_status(101)),
    ("status-999", || answers::with_status(999)),
    ("status-65535", || answers::with_status(u16::MAX)),
    ("header-split", || answers::with_header("x-split", "a\r\nx-forged: 1")),
    ("header-name", || answers::with_header("a name", "1")),
    ("header-empty", || answers::with_header("", "1")),
    ("headers-of-the-host", answers::headers_of_the_host),
    ("headers-many", answers::many_headers),
    ("headers-long", || answers::with_header("x-long", &"x".repeat(1 << 20))),
    ("headers-overlapping", answers::overlapping_headers),
    ("body-large", || answers::plain("x".repeat(8 << 20))),
    ("calls-overlapping", || {
        loop {
            floods::weigh_overlapping();
        }
    }),
    ("log-lines", floods::log_lines),
    ("log-line", floods::log_line),
    ("log-forged", floods::log_forged),
    ("log-overlapping", floods::log_overlapping),
    ("schedules", floods::schedules),
    ("schedule-large", floods::schedule_large),
    ("savepoints", floods::savepoints),
    ("statements-long", floods::long_statements),
    ("statements-many", floods::many_statements),
    ("parameters-overlapping", floods::overlapping_parameters),
    ("fields-many", handles::many_fields),
    ("names-long", handles::long_names),
    ("bodies-unread", handles::unread_bodies),
    ("workflow-zero", || zero("shop\0", "paid")),
    ("promise-zero", || zero("shop", "pa\0id")),
    ("random-bytes", floods::random_bytes),
    ("begin-twice", transactions::begin_twice),
    ("query-inside", transactions::query_inside),
    ("call-inside", transactions::call_inside),
    ("never-end", transactions::never_end),
    ("use-after-commit", transactions::use_after_commit),
    ("roll-back-nothing", transactions::roll_back_nothing),
    ("hold-and-loop", transactions::hold_and_loop),
    ("hold-and-wait", transactions::hold_and_wait),
    ("trap-inside", transactions::trap_inside),
];

pub(crate) fn find(name: &str) -> Option<Misdeed> {
    MISDEEDS
        .iter()
        .find_map(|(known, misdeed)| (*known == name).then_some(*misdeed))
}

fn endless_loop() -> Response {
    loop {
        black_box(());
    }
}

fn allocate() -> Response {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

fn endless_recursion() -> Response {
    #[inline(never)]
    #[expect(unconditional_recursion, reason = "that is the misdeed")]
    fn deeper(depth: u64) -> u64 {
        // The addition comes after the call: it must keep its frame.
        black_box(deeper(black_box(depth) + 1)) + 1
    }
    answers::plain(deeper(0).to_string())
}

#[expect(clippy::disallowed_methods, reason = "what it should not be able to do")]
fn sleep() -> Response {
    std::thread::sleep(std::time::Duration::from_secs(3600));
    answers::plain("slept".to_owned())
}

/// Texts that the database does not take.
fn zero(id: &str, name: &str) -> Response {
    let workflow = workflows::Workflow {
        function: "hostile:guest/mirror.deeper".to_owned(),
        id: id.to_owned(),
    };
    answers::plain(format!("{:?}", workflows::complete(&workflow, name, b"")))
}

fn read_a_file() -> Response {
    let found: Vec<String> = ["/etc/passwd", "/proc/self/environ", "."]
        .into_iter()
        .filter_map(|path| {
            std::fs::read(path)
                .ok()
                .map(|bytes| format!("{path}: {} bytes", bytes.len()))
        })
        .chain(std::env::vars().map(|(name, value)| format!("{name}={value}")))
        .chain(std::env::args())
        .collect();
    answers::plain(found.join(", "))
}
