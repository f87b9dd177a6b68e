//! The steps of `bench-forward`, each for one contender or one case.

use crate::case::Case;
use crate::growth::Growth;
use crate::measure::{self, Durations, Run};
use crate::report::Outcome;
use crate::resources::Means;
use crate::same_load::{Measured, Schedule};
use crate::session::{Contender, Session, Setting};
use crate::{distance, growth, limit, same_load};
use anyhow::Result;
use indicatif::ProgressBar;

/// What came of a contender in a case so far.
#[derive(Default)]
pub(crate) struct Tried {
    pub(crate) results: Vec<Result<Run, String>>,
    pub(crate) calls: Option<f64>,
}

impl Tried {
    pub(crate) fn rate(&self) -> Option<f64> {
        self.results.iter().flatten().next_back().map(|run| run.packets_per_second)
    }
}

/// What every step has, and whom it tells where it is.
pub(crate) struct Runner<'a> {
    pub(crate) setting: Setting<'a>,
    pub(crate) durations: Durations,
    pub(crate) schedule: Schedule,
    pub(crate) distances: distance::Schedule,
    pub(crate) progress: ProgressBar,
    pub(crate) absent: Vec<String>,
}

impl Runner<'_> {
    /// Verifies a contender in a case, and measures it at its saturation and at half of it.
    pub(crate) fn run(&mut self, contender: &Contender, case: Case, repetition: usize, guess: f64, tried: &mut Tried) {
        let progress = self.progress.clone();
        let what = format!("{}, {case}, repetition {}", contender.name, repetition + 1);
        self.log(&what);
        let mut tell = |message: &str| progress.set_message(format!("{what}: {message}"));
        let result = Session::start(contender, case, self.setting).and_then(|mut session| {
            let run = measure::run(&mut session, guess, self.durations, &mut tell)?;
            if repetition == 0 && session.process().is_some() {
                tell("counting system calls at half load");
                match measure::calls_per_packet(&mut session, &run, self.durations.search, self.setting.directory) {
                    Ok(calls) => tried.calls = Some(calls),
                    Err(error) => self.say_once(format!("system calls: {error:#}")),
                }
            }
            Ok(run)
        });
        if let Err(error) = &result {
            progress.suspend(|| eprintln!("FAILED: {what}: {error:#}."));
        }
        tried.results.push(result.map_err(|error| format!("{error:#}")));
        progress.inc(1);
    }

    /// Measures a worker that has a result so far and the limit in turns.
    pub(crate) fn distance(&mut self, worker: &Contender, outcome: &mut Outcome) {
        let progress = self.progress.clone();
        let (case, schedule) = (outcome.case, self.distances);
        let what = format!("{}, {case}, beside the limit", worker.name);
        self.log(&what);
        progress.inc(1);
        let Some(saturation) = outcome.summary.as_ref().map(|summary| summary.packets_per_second.median) else {
            return;
        };
        progress.set_message(what);
        let setting = distance::setting(case, self.setting);
        let mut limit = |duration| {
            let limit = limit::without_receiving(case, setting.cores, duration).map(|limit| limit.without_receiving());
            limit.map_err(|error| self.say_once(format!("the limit: {error:#}"))).ok()
        };
        let result = Session::start(worker, case, setting)
            .and_then(|mut session| distance::measure(&mut session, saturation, schedule, &mut limit));
        let result = result.map_err(|error| format!("beside the limit: {error:#}"));
        if let Err(error) = &result {
            progress.suspend(|| eprintln!("FAILED: {}, {case}: {error}.", worker.name));
        }
        outcome.add_distance(result);
    }

    /// Measures the workers that have a result so far at a load that is the same for all, if there are several.
    pub(crate) fn same_load(
        &mut self,
        contenders: &[Contender],
        case: Case,
        mut outcomes: Vec<Outcome>,
    ) -> Vec<Outcome> {
        let worker = |outcome: &Outcome| {
            let contender = contenders.iter().find(|one| one.name == outcome.contender && one.program.is_some())?;
            outcome.summary.as_ref().map(|summary| (contender, summary.packets_per_second.median))
        };
        let (workers, saturations): (Vec<&Contender>, Vec<f64>) = outcomes.iter().filter_map(worker).unzip();
        let progress = self.progress.clone();
        let Some(rate) = same_load::rate(&saturations) else {
            progress.inc(1);
            return outcomes;
        };
        self.log(&format!("{case}, the same load for all"));
        // More than one worker is set up.
        if let Err(error) = Means::of_this_machine().and_then(|means| means.check(&case, workers.len())) {
            self.say_once(format!("the same load for {} workers: {error:#}", workers.len()));
            progress.inc(1);
            return outcomes;
        }
        let mut tell = |message: &str| progress.set_message(format!("{case}: {message}"));
        let entrants: Vec<(&Contender, Case)> = workers.iter().map(|&worker| (worker, case)).collect();
        let Measured { results, absent } = same_load::measure(&entrants, rate, self.setting, self.schedule, &mut tell);
        absent.into_iter().for_each(|what| self.say_once(what));
        for (worker, result) in workers.iter().zip(results) {
            if let Err(error) = &result {
                progress.suspend(|| eprintln!("FAILED: {}, {case}: {error}.", worker.name));
            }
            if let Some(outcome) = outcomes.iter_mut().find(|outcome| outcome.contender == worker.name) {
                outcome.add_same_load(result);
            }
        }
        progress.inc(1);
        outcomes
    }

    /// Measures what a packet costs a worker at each size of a case, if it has a result in all.
    pub(crate) fn growth(&mut self, worker: &Contender, sizes: &[Case], outcomes: &[Outcome]) -> Option<Growth> {
        let progress = self.progress.clone();
        let (smallest, largest) = (sizes.first()?, sizes.last()?);
        let what = format!("{}, from {smallest} to {}", worker.name, largest.audience);
        self.log(&what);
        progress.inc(1);
        let rate = growth::rate(&worker.name, sizes, outcomes)?;
        // All sizes are set up, and the last is the largest.
        if let Err(error) = Means::of_this_machine().and_then(|means| means.check(largest, sizes.len())) {
            self.say_once(format!("{what}: {error:#}"));
            return None;
        }
        let mut tell = |message: &str| progress.set_message(format!("{what}: {message}"));
        let entrants: Vec<(&Contender, Case)> = sizes.iter().map(|&case| (worker, case)).collect();
        // No order is to be decided: there are as many turns as there may be.
        let schedule = Schedule { turns: self.schedule.most, ..self.schedule };
        let setting = growth::setting(sizes, self.setting);
        let Measured { results, absent } = same_load::measure(&entrants, rate, setting, schedule, &mut tell);
        absent.into_iter().for_each(|what| self.say_once(what));
        let growth = Growth::new(worker.name.clone(), sizes.to_vec(), results);
        for failure in &growth.failures {
            progress.suspend(|| eprintln!("FAILED: {}, growth, {failure}.", worker.name));
        }
        Some(growth)
    }

    /// Without a terminal there is no bar; a log says where it is.
    fn log(&self, what: &str) {
        if self.progress.is_hidden() {
            eprintln!("{}/{}: {what}", self.progress.position() + 1, self.progress.length().unwrap_or(0));
        }
    }

    /// Of what can't be measured.
    pub(crate) fn say_once(&mut self, what: String) {
        if !self.absent.contains(&what) {
            self.absent.push(what);
        }
    }
}
