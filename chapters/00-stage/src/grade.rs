//! Exercises that grade themselves.
//!
//! A chapter has `src/exercises.rs`, where the reader writes, and `src/solutions.rs`. Both have the same functions, so
//! that one check judges either. The chapter's test program `exercises` runs each check against the solution, which must
//! pass, and against the reader's attempt, which may be missing, but not wrong:
//!
//! ```text
//! cargo test -p ch01-simplest-server --test exercises
//! ```

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// How long a check may take. An attempt that waits for ever is a wrong one.
const PATIENCE: Duration = Duration::from_secs(20);

/// What [`unsolved!`](crate::unsolved) panics with.
#[derive(Debug, Clone, Copy)]
pub struct Unsolved;

/// Stands in an exercise's body until the reader has written it.
#[macro_export]
macro_rules! unsolved {
    () => {
        std::panic::panic_any($crate::grade::Unsolved)
    };
}

/// A check, applied to one implementation: it panics when that is wrong.
type Check = Box<dyn FnOnce() + Send>;

/// One exercise.
pub struct Exercise {
    title: &'static str,
    attempt: Check,
    solution: Check,
}

impl Exercise {
    /// An exercise whose check is applied to the reader's implementation and to the solution.
    pub fn new<I: Send + 'static>(title: &'static str, check: fn(I), attempt: I, solution: I) -> Exercise {
        Exercise { title, attempt: Box::new(move || check(attempt)), solution: Box::new(move || check(solution)) }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The implementation does what it should.
    Passed,
    /// There is none yet.
    NotAttempted,
    /// It does something else, and this is what.
    Failed(String),
}

/// Grades all exercises of a chapter and says so; fails when an attempt or a solution is wrong.
pub fn main(exercises: Vec<Exercise>) -> ExitCode {
    let mut wrong = 0;
    for (number, Exercise { title, attempt, solution }) in (1..).zip(exercises) {
        let (mark, more) = match judge(attempt) {
            Verdict::Passed => ("passed", String::new()),
            Verdict::NotAttempted => ("not attempted", String::new()),
            Verdict::Failed(why) => {
                wrong += 1;
                ("WRONG", format!("\n    {}", why.replace('\n', "\n    ")))
            }
        };
        println!("exercise {number}: {title}: {mark}{more}");
        if let Verdict::Failed(why) = judge(solution) {
            wrong += 1;
            println!("    and the solution in the book is wrong: {why}");
        }
    }
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the panics of a check have said, in whichever of its threads they were.
#[derive(Debug, Default)]
struct Heard {
    /// The first message that is not about something unsolved.
    message: Option<String>,
    unsolved: bool,
}

/// Runs one check in a thread of its own. The process's panic hook is its while it runs.
pub fn judge(check: impl FnOnce() + Send + 'static) -> Verdict {
    let (sender, receiver) = mpsc::channel();
    let heard = Arc::new(Mutex::new(Heard::default()));
    let hears = Arc::clone(&heard);
    // A panic's message is part of the verdict, and not to be printed.
    panic::set_hook(Box::new(move |info| {
        let Ok(mut heard) = hears.lock() else { return };
        if info.payload().is::<Unsolved>() {
            heard.unsolved = true;
        } else if heard.message.is_none() {
            let place = info.location().map(|place| format!("{}:{}: ", place.file(), place.line()));
            heard.message = Some(place.unwrap_or_default() + text(info.payload()));
        }
    }));
    let spawned = thread::Builder::new().name("exercise".to_owned()).spawn(move || {
        let _ = sender.send(panic::catch_unwind(AssertUnwindSafe(check)).is_ok());
    });
    let outcome = spawned.map(|_| receiver.recv_timeout(PATIENCE));
    drop(panic::take_hook());
    let Ok(heard) = heard.lock() else { return Verdict::Failed("it panicked while it panicked".to_owned()) };
    match (outcome, &heard.message) {
        // Whatever else went wrong went wrong because of that.
        _ if heard.unsolved => Verdict::NotAttempted,
        (Ok(Ok(true)), _) => Verdict::Passed,
        (Ok(Ok(false)), message) => Verdict::Failed(message.clone().unwrap_or_default()),
        (Ok(Err(_)), _) => Verdict::Failed(format!("it did not end within {} seconds", PATIENCE.as_secs())),
        (Err(error), _) => Verdict::Failed(format!("no thread could be started for it: {error}")),
    }
}

fn text(payload: &dyn Any) -> &str {
    let string = payload.downcast_ref::<String>().map(String::as_str);
    string.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the panic hook belongs to the whole process.
    #[test]
    fn a_check_tells_right_from_wrong_from_missing() {
        assert_eq!(judge(|| {}), Verdict::Passed);
        assert_eq!(judge(|| unsolved!()), Verdict::NotAttempted);
        let elsewhere = || thread::spawn(|| unsolved!()).join().expect("the server under test runs");
        assert_eq!(judge(elsewhere), Verdict::NotAttempted);
        let Verdict::Failed(why) = judge(|| assert_eq!(1 + 1, 3, "sums")) else { panic!("a wrong sum passed") };
        assert!(why.contains("grade.rs") && why.contains("sums"), "{why}");
    }
}
