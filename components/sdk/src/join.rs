//! Several calls and queries at once. What is begun goes on beside the component; [`join`] and [`join_all`] wait for all of it.
//!
//! For an interface `shop:catalog/products` a world imports its variants `products-begin` and `products-finish`, which declare its functions
//! once more: the same parameters and the number of a call, and that number and the same result.
//!
//! ```ignore
//! let (stock, price) = join((
//!     begin(stocks_begin::available(&skus), stocks_finish::available),
//!     begin(prices_begin::of(&skus), prices_finish::of),
//! ));
//! let quotes = join_all(parcels.iter().map(|parcel| begin(carrier_begin::quote(parcel), carrier_finish::quote)));
//! ```
//!
//! What one returns does not depend on the order in which they end, so nothing here can tell that order. None of it may be waited for
//! while a transaction is open.

use std::collections::VecDeque;

/// What is begun at once by [`join_all`]; the host allows as many for one component.
pub const MAX_AT_ONCE: usize = 16;

/// Something that goes on beside the component, until it is waited for.
pub trait Pending {
    /// What comes of it.
    type Output;

    /// Waits for it. Asks the host.
    fn finish(self) -> Self::Output;
}

/// A call that was begun.
#[must_use = "a call that is begun is to be finished, by itself or by `join`"]
#[derive(Debug)]
pub struct Begun<T> {
    number: u32,
    finish: fn(u32) -> T,
}

/// A call, from its number and the function that finishes it.
pub const fn begin<T>(number: u32, finish: fn(u32) -> T) -> Begun<T> {
    Begun { number, finish }
}

impl<T> Pending for Begun<T> {
    type Output = T;

    fn finish(self) -> T {
        (self.finish)(self.number)
    }
}

/// A tuple of what is pending.
pub trait Join {
    /// The tuple of what comes of it.
    type Output;

    /// Waits for all of it. Asks the host.
    fn join(self) -> Self::Output;
}

/// Waits for all of a tuple. Asks the host.
pub fn join<J: Join>(pending: J) -> J::Output {
    pending.join()
}

/// Begins what the iterator begins, at most [`MAX_AT_ONCE`] at a time, and returns what came of it, in the same order. Asks the host.
pub fn join_all<P: Pending>(begins: impl IntoIterator<Item = P>) -> Vec<P::Output> {
    let mut begins = begins.into_iter();
    let mut pending: VecDeque<P> = begins.by_ref().take(MAX_AT_ONCE).collect();
    let mut ended = Vec::new();
    while let Some(oldest) = pending.pop_front() {
        ended.push(oldest.finish());
        pending.extend(begins.next());
    }
    ended
}

macro_rules! join_tuples {
    ($(($($pending:ident)+))+) => {
        $(impl<$($pending: Pending),+> Join for ($($pending,)+) {
            type Output = ($($pending::Output,)+);

            #[allow(non_snake_case, reason = "a variable for each parameter of the type")]
            fn join(self) -> Self::Output {
                let ($($pending,)+) = self;
                ($($pending.finish(),)+)
            }
        })+
    };
}

join_tuples!((A B) (A B C) (A B C D) (A B C D E) (A B C D E F));

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Begun and not finished: tests have a thread each.
        static OPEN: Cell<usize> = const { Cell::new(0) };
    }

    fn begun(number: u32) -> Begun<u32> {
        OPEN.set(OPEN.get() + 1);
        assert!(OPEN.get() <= MAX_AT_ONCE);
        begin(number, |number| {
            OPEN.set(OPEN.get() - 1);
            number * 10
        })
    }

    #[test]
    fn a_tuple_is_joined_in_its_order() {
        let text = begin(7, |number| number.to_string());
        assert_eq!(join((begun(1), text, begun(2))), (10, "7".to_owned(), 20));
    }

    #[test]
    fn many_are_begun_a_bounded_number_at_a_time() {
        let ended = join_all((0..100).map(begun));
        assert_eq!(ended, (0..100).map(|number| number * 10).collect::<Vec<_>>());
        assert_eq!(OPEN.get(), 0);
        assert_eq!(join_all(std::iter::empty::<Begun<u32>>()), [0; 0]);
    }
}
