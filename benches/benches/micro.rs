//! Times the functions of `benches::micro`. After all of them, with no filter and no other option, the results go to
//! `results/micro.{json,md}`.

use anyhow::Result;
use benches::micro::results::Results;
use benches::micro::{self, Bench, Id};
use criterion::{BatchSize, Bencher, BenchmarkId, Criterion};
use std::path::Path;
use std::time::Duration;

/// Hands functions on to criterion.
struct Timed {
    criterion: Criterion,
    ids: Vec<Id>,
}

impl Timed {
    fn run(&mut self, id: &Id, bench: impl FnMut(&mut Bencher<'_>)) {
        self.ids.push(id.clone());
        let mut group = self.criterion.benchmark_group(&id.group);
        match id.column.as_str() {
            "" => group.bench_function(&id.row, bench),
            column => group.bench_function(BenchmarkId::new(&id.row, column), bench),
        };
        group.finish();
    }
}

impl Bench for Timed {
    fn measure<R>(&mut self, id: &Id, mut work: impl FnMut() -> R) {
        self.run(id, |bencher| bencher.iter(&mut work));
    }

    fn measure_on<I, R>(&mut self, id: &Id, mut set_up: impl FnMut() -> I, mut work: impl FnMut(&mut I) -> R) {
        self.run(id, |bencher| bencher.iter_batched_ref(&mut set_up, &mut work, BatchSize::SmallInput));
    }
}

fn main() -> Result<()> {
    // Where criterion would put it, if it were not told: known, so that it can be read afterwards.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion");
    // There are a hundred functions, and most take nanoseconds.
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(50)
        .output_directory(&directory)
        .without_plots();
    let mut timed = Timed { criterion: criterion.configure_from_args(), ids: Vec::new() };
    micro::all(&mut timed)?;
    timed.criterion.final_summary();
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_some_and(|argument| argument == "--bench") && arguments.next().is_none() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/micro");
        let results = Results::read(&directory, &timed.ids)?;
        results.write(&path)?;
        print!("\n{}\nWritten: {}\n", results.markdown(), path.with_extension("{json,md}").display());
    }
    Ok(())
}
