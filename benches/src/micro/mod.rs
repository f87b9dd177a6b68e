//! What the micro-benchmarks and the instruction counts have in common: the functions that are measured, each with its
//! input, and with a check of its answer. A function whose answer is wrong is not measured; it is an error.
//!
//! [`all`] shows them to a [`Bench`], which repeats them as it likes: criterion with a clock, [`instructions`] under
//! callgrind, and the tests once.

pub mod instructions;
pub mod results;

mod channel;
mod estimator;
mod ipc;
mod layers;
mod media;
mod messages;
mod rtcp;
mod rtp;
mod srtp;
mod streams;
mod stun;
mod timers;

use anyhow::{Result, ensure};
use std::fmt;

/// The place of a measurement in the tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The table.
    pub group: String,
    /// The row.
    pub row: String,
    /// The column; empty where a table has only one.
    pub column: String,
}

impl Id {
    /// In a table with one column.
    #[must_use]
    pub fn new(group: &str, row: &str) -> Self {
        Self::of(group, row, "")
    }

    /// In a table with several.
    #[must_use]
    pub fn of(group: &str, row: &str, column: &str) -> Self {
        Self { group: group.to_owned(), row: row.to_owned(), column: column.to_owned() }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.row)?;
        if self.column.is_empty() { Ok(()) } else { write!(f, "/{}", self.column) }
    }
}

/// Repeats a piece of work and measures it.
pub trait Bench {
    /// Repeats `work`.
    fn measure<R>(&mut self, id: &Id, work: impl FnMut() -> R);

    /// Repeats `work`, each time on something that `set_up` has made meanwhile, unmeasured.
    fn measure_on<I, R>(&mut self, id: &Id, set_up: impl FnMut() -> I, work: impl FnMut(&mut I) -> R);

    /// Whether it wants to hear of this one. Others are not even tried.
    fn wants(&self, id: &Id) -> bool {
        let _ = id;
        true
    }
}

/// Shows every function to `bench`.
///
/// # Errors
/// An answer is wrong, or something can't be set up.
pub fn all(bench: &mut impl Bench) -> Result<()> {
    stun::all(bench)?;
    rtp::all(bench)?;
    rtcp::all(bench)?;
    srtp::all(bench)?;
    streams::all(bench)?;
    estimator::all(bench)?;
    layers::all(bench)?;
    channel::all(bench)?;
    timers::all(bench)?;
    ipc::all(bench)
}

/// Shows the worker's media path to `bench`. Most of its time is the kernel's, so that only its instructions are worth
/// counting like this; `bench-forward` measures its time.
///
/// # Errors
/// As with [`all`].
pub fn media_path(bench: &mut impl Bench) -> Result<()> {
    media::all(bench)
}

/// Measures `work` if its answers are right, before and after.
fn check<R>(bench: &mut impl Bench, id: &Id, mut work: impl FnMut() -> R, is_right: impl Fn(&R) -> bool) -> Result<()> {
    if bench.wants(id) {
        ensure!(is_right(&work()), "{id}: the answer is wrong");
        bench.measure(id, &mut work);
        ensure!(is_right(&work()), "{id}: the answer is wrong after many repetitions");
    }
    Ok(())
}

/// The same for work on something that is made each time.
fn check_on<I, R>(
    bench: &mut impl Bench,
    id: &Id,
    mut set_up: impl FnMut() -> I,
    mut work: impl FnMut(&mut I) -> R,
    is_right: impl Fn(&I, &R) -> bool,
) -> Result<()> {
    let once = |set_up: &mut dyn FnMut() -> I, work: &mut dyn FnMut(&mut I) -> R| {
        let mut input = set_up();
        let answer = work(&mut input);
        is_right(&input, &answer)
    };
    if bench.wants(id) {
        ensure!(once(&mut set_up, &mut work), "{id}: the answer is wrong");
        bench.measure_on(id, &mut set_up, &mut work);
        ensure!(once(&mut set_up, &mut work), "{id}: the answer is wrong after many repetitions");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Does everything a few times.
    #[derive(Default)]
    struct Few {
        seen: BTreeSet<Id>,
    }

    impl Bench for Few {
        fn measure<R>(&mut self, id: &Id, mut work: impl FnMut() -> R) {
            assert!(self.seen.insert(id.clone()), "{id} is there twice");
            (0..100).for_each(|_| drop(work()));
        }

        fn measure_on<I, R>(&mut self, id: &Id, mut set_up: impl FnMut() -> I, mut work: impl FnMut(&mut I) -> R) {
            assert!(self.seen.insert(id.clone()), "{id} is there twice");
            (0..100).for_each(|_| drop(work(&mut set_up())));
        }
    }

    #[test]
    fn every_function_answers_as_it_should() {
        let mut few = Few::default();
        all(&mut few).unwrap();
        media_path(&mut few).unwrap();
        let groups: BTreeSet<&str> = few.seen.iter().map(|id| id.group.as_str()).collect();
        assert!(groups.len() >= 11, "{groups:?}");
    }

    #[test]
    fn a_function_that_answers_wrongly_is_not_measured() {
        let mut few = Few::default();
        let id = Id::new("group", "wrong");
        assert!(check(&mut few, &id, || 1, |&answer| answer == 2).is_err());
        assert!(check_on(&mut few, &id, || 1, |input| *input, |_, &answer| answer == 2).is_err());
        assert!(few.seen.is_empty());
    }

    #[test]
    fn a_function_that_goes_wrong_later_is_an_error() {
        let mut count = 0;
        let work = || {
            count += 1;
            count
        };
        assert!(check(&mut Few::default(), &Id::new("group", "tires"), work, |&count| count < 50).is_err());
    }
}
