//! An RTP observer: listens to audio producers of its router by the levels in their packets, and tells the library who is
//! loud, or who speaks.

use std::time::{Duration, Instant};

use sfu_channel::MediaKind;
use sfu_channel::notification::{AudioVolume, Event};
use sfu_channel::request::{CreateActiveSpeakerObserver, CreateAudioLevelObserver};
use sfu_channel::response::Refusal;
use sfu_proto::observer::{ActiveSpeaker, AudioLevelConfig, AudioLevels, LevelEvent};
use sfu_proto::rtp::AudioLevel;

use crate::worker::{TimerKey, Worker};

/// Milliseconds between two reports of levels.
const LEVEL_INTERVALS: std::ops::RangeInclusive<i32> = 250..=5000;
/// Milliseconds between two decisions about who speaks.
const SPEAKER_INTERVALS: std::ops::RangeInclusive<i32> = 100..=5000;

/// One observer.
#[derive(Debug)]
pub struct RtpObserver {
    /// Its id.
    pub id: String,
    /// Its router.
    pub router: usize,
    /// The producers that it listens to: each one's index, and its key in what listens.
    producers: Vec<(usize, usize)>,
    paused: bool,
    listening: Listening,
}

/// What listens, by the kind of observer.
#[derive(Debug)]
enum Listening {
    AudioLevel(AudioLevels),
    ActiveSpeaker(ActiveSpeaker),
}

/// An observer of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// The observer.
    pub observer: usize,
    /// The producer's key in it.
    key: usize,
}

impl RtpObserver {
    /// An observer of levels.
    pub fn audio_level(now: Instant, router: usize, request: CreateAudioLevelObserver) -> RtpObserver {
        let config = AudioLevelConfig {
            max_entries: request.max_entries.into(),
            threshold: request.threshold,
            interval: interval(request.interval, LEVEL_INTERVALS),
        };
        RtpObserver::new(router, request.rtp_observer_id, Listening::AudioLevel(AudioLevels::new(now, config)))
    }

    /// An observer of who speaks.
    pub fn active_speaker(now: Instant, router: usize, request: CreateActiveSpeakerObserver) -> RtpObserver {
        let speaker = ActiveSpeaker::new(now, interval(request.interval, SPEAKER_INTERVALS));
        RtpObserver::new(router, request.rtp_observer_id, Listening::ActiveSpeaker(speaker))
    }

    fn new(router: usize, id: String, listening: Listening) -> RtpObserver {
        RtpObserver { id, router, producers: Vec::new(), paused: false, listening }
    }

    fn key_of(&self, producer: usize) -> Option<usize> {
        self.producers.iter().find(|(known, _)| *known == producer).map(|(_, key)| *key)
    }
}

fn interval(millis: i32, range: std::ops::RangeInclusive<i32>) -> Duration {
    let millis = millis.clamp(*range.start(), *range.end());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

impl Worker {
    /// Lets an observer listen to a producer.
    ///
    /// # Errors
    /// A `TypeError` if it is no audio producer; an `Error` if an observer of who speaks listens to it already.
    pub fn observe_producer(&mut self, now: Instant, observer: usize, producer: usize) -> Result<(), Refusal> {
        let entity = &mut self.rtp_observers[observer];
        let observed = &mut self.producers[producer];
        if observed.kind != MediaKind::Audio {
            return Err(Refusal::type_error("wrong producerId (not an audio Producer)"));
        }
        let known = entity.key_of(producer).is_some();
        let key = match &mut entity.listening {
            Listening::AudioLevel(_) if known => return Ok(()),
            Listening::ActiveSpeaker(_) if known => {
                return Err(Refusal::error(format!("Producer with ID {} is observed already", observed.id)));
            }
            Listening::AudioLevel(levels) => levels.add(),
            Listening::ActiveSpeaker(speaker) => speaker.add(now, observed.paused),
        };
        entity.producers.push((producer, key));
        observed.observers.push(Observation { observer, key });
        Ok(())
    }

    /// Lets an observer listen to a producer no more.
    pub fn unobserve_producer(&mut self, observer: usize, producer: usize) {
        self.producers[producer].observers.retain(|known| known.observer != observer);
        let entity = &mut self.rtp_observers[observer];
        let Some(key) = entity.key_of(producer) else { return };
        match &mut entity.listening {
            Listening::AudioLevel(levels) => levels.remove(key),
            Listening::ActiveSpeaker(speaker) => speaker.remove(key),
        }
        entity.producers.retain(|(known, _)| *known != producer);
        self.poll_rtp_observer(observer);
    }

    /// Stops an observer.
    pub fn pause_rtp_observer(&mut self, observer: usize) {
        let entity = &mut self.rtp_observers[observer];
        if std::mem::replace(&mut entity.paused, true) {
            return;
        }
        match &mut entity.listening {
            Listening::AudioLevel(levels) => levels.pause(),
            Listening::ActiveSpeaker(speaker) => speaker.pause(),
        }
        self.poll_rtp_observer(observer);
    }

    /// Lets an observer go on.
    pub fn resume_rtp_observer(&mut self, now: Instant, observer: usize) {
        let entity = &mut self.rtp_observers[observer];
        if !std::mem::replace(&mut entity.paused, false) {
            return;
        }
        match &mut entity.listening {
            Listening::AudioLevel(levels) => levels.resume(now),
            Listening::ActiveSpeaker(speaker) => speaker.resume(now),
        }
        self.poll_rtp_observer(observer);
    }

    /// Closes an observer.
    pub fn close_rtp_observer(&mut self, observer: usize) {
        let entity = self.rtp_observers.remove(observer);
        self.registry.remove(&entity.id);
        self.timers.cancel(TimerKey::Observer(observer));
        for (producer, _) in entity.producers {
            if let Some(producer) = self.producers.get_mut(producer) {
                producer.observers.retain(|known| known.observer != observer);
            }
        }
        if let Some(router) = self.routers.get_mut(entity.router) {
            router.rtp_observers.retain(|known| *known != observer);
        }
    }

    /// A producer is paused or goes on: its observers take note.
    pub fn set_observed_producer_paused(&mut self, producer: usize, paused: bool) {
        for Observation { observer, key } in &self.producers[producer].observers {
            match self.rtp_observers.get_mut(*observer).map(|entity| &mut entity.listening) {
                Some(Listening::AudioLevel(levels)) => levels.forget_levels(*key),
                Some(Listening::ActiveSpeaker(speaker)) => speaker.set_stream_paused(*key, paused),
                None => {}
            }
        }
    }

    /// A packet of a producer that is observed has come.
    pub fn observe_level(&mut self, now: Instant, producer: usize, level: AudioLevel) {
        for Observation { observer, key } in &self.producers[producer].observers {
            match self.rtp_observers.get_mut(*observer).map(|entity| &mut entity.listening) {
                Some(Listening::AudioLevel(levels)) => levels.handle_level(*key, level),
                Some(Listening::ActiveSpeaker(speaker)) => speaker.handle_level(now, *key, level),
                None => {}
            }
        }
    }

    /// The time has come for an observer to say something.
    pub fn handle_observer_timeout(&mut self, now: Instant, observer: usize) {
        match &mut self.rtp_observers[observer].listening {
            Listening::AudioLevel(levels) => levels.handle_timeout(now),
            Listening::ActiveSpeaker(speaker) => speaker.handle_timeout(now),
        }
        self.poll_rtp_observer(observer);
    }

    /// Tells what an observer has found, and sets when it is to be asked again.
    pub fn poll_rtp_observer(&mut self, observer: usize) {
        let RtpObserver { id, producers, listening, .. } = &mut self.rtp_observers[observer];
        let producer_id = |key: usize| {
            let (producer, _) = producers.iter().find(|(_, known)| *known == key)?;
            Some(self.producers.get(*producer)?.id.clone())
        };
        let event = match listening {
            Listening::AudioLevel(levels) => levels.poll_event().map(|event| match event {
                LevelEvent::Silence => Event::Silence,
                LevelEvent::Volumes(volumes) => {
                    let volume = |(key, volume)| Some(AudioVolume { producer_id: producer_id(key)?, volume });
                    Event::Volumes(volumes.into_iter().filter_map(volume).collect())
                }
            }),
            Listening::ActiveSpeaker(speaker) => speaker.poll_event().and_then(producer_id).map(Event::DominantSpeaker),
        };
        if let Some(event) = event {
            self.output.notify(id, event);
        }
        let deadline = match listening {
            Listening::AudioLevel(levels) => levels.poll_timeout(),
            Listening::ActiveSpeaker(speaker) => speaker.poll_timeout(),
        };
        match deadline {
            Some(deadline) => self.timers.set(TimerKey::Observer(observer), deadline),
            None => {
                self.timers.cancel(TimerKey::Observer(observer));
            }
        }
    }
}
