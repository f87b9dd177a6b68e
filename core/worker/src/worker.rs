//! The worker's entities and how they live and die.
//!
//! All entities of a kind lie in one slab; what one knows of another is its index. An index is valid as long as the
//! entity lives, and closing an entity removes it from everyone who knows it, which is what most of this file does.
//!
//! ```text
//! Worker ── Router ── Transport ── Producer ──┐ consumers
//!                         └─────── Consumer ◂─┘
//! ```

use std::time::Instant;

use sfu_channel::LogLevel;
use sfu_proto::{dtls, srtp};
use sfu_reactor::timer::TimerQueue;
use slab::Slab;

use crate::channel::Output;
use crate::clock::Clock;
use crate::consumer::Consumer;
use crate::data;
use crate::data_consumer::DataConsumer;
use crate::data_producer::DataProducer;
use crate::log::Tags;
use crate::media::Workspace;
use crate::producer::Producer;
use crate::random::Random;
use crate::registry::{EntityKey, Registry};
use crate::router::Router;
use crate::rtp_observer::RtpObserver;
use crate::sockets::{Owner, Sockets};
use crate::transport::{Kind, Transport};
use crate::web_rtc_server::WebRtcServer;
use sfu_channel::response::Refusal;

/// What all transports share.
#[derive(Debug)]
pub struct Config {
    /// The DTLS certificate, made or read at start.
    pub certificate: dtls::Certificate,
    /// Which implementation of SRTP protects media.
    pub srtp_backend: srtp::Backend,
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimerKey {
    /// ICE consent of a transport.
    Ice(usize),
    /// DTLS retransmission of a transport.
    Dtls(usize),
    /// A transport's or a WebRTC server's ICE-TCP connections that no check has come by.
    Trials(Owner),
    /// A listening socket that could not accept a connection.
    Accept(usize),
    /// RTCP reports of a transport.
    Reports(usize),
    /// Transport-wide congestion control feedback of a transport.
    Feedback(usize),
    /// Probes and shares of a transport's bandwidth.
    Bandwidth(usize),
    /// SCTP of a transport.
    Sctp(usize),
    /// The next report or decision of an RTP observer.
    Observer(usize),
    /// NACKs, key-frame requests and inactivity of a producer's streams.
    Producer(usize),
}

/// Everything but the loop.
#[derive(Debug)]
pub struct Worker {
    /// What all transports share.
    pub config: Config,
    /// The relation of clocks.
    pub clock: Clock,
    /// For what should vary.
    pub random: Random,
    /// Towards the library.
    pub output: Output,
    /// All sockets.
    pub sockets: Sockets,
    /// All deadlines.
    pub timers: TimerQueue<TimerKey>,
    /// All ids.
    pub registry: Registry,
    /// The WebRTC servers.
    pub web_rtc_servers: Slab<WebRtcServer>,
    /// The routers.
    pub routers: Slab<Router>,
    /// The transports.
    pub transports: Slab<Transport>,
    /// The producers.
    pub producers: Slab<Producer>,
    /// The consumers.
    pub consumers: Slab<Consumer>,
    /// The data producers.
    pub data_producers: Slab<DataProducer>,
    /// The data consumers.
    pub data_consumers: Slab<DataConsumer>,
    /// The data path's buffers.
    pub data: data::Workspace,
    /// The RTP observers.
    pub rtp_observers: Slab<RtpObserver>,
    /// The media path's buffers.
    pub media: Workspace,
    /// Set when the library asked to close.
    pub closing: bool,
}

/// Defines how an entity is found by its id: its kind, where they are, and what it has to belong to.
macro_rules! finder {
    ($(#[$doc:meta])* $find:ident $kind:ident $entities:ident $parent:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// An `Error` if there is none.
        pub fn $find(&self, $parent: usize, id: &str) -> Result<usize, Refusal> {
            match self.registry.get(id) {
                Some(EntityKey::$kind(key)) if self.$entities[key].$parent == $parent => Ok(key),
                _ => Err(Refusal::error(format!(concat!(stringify!($kind), " with ID {} not found"), id))),
            }
        }
    };
}

impl Worker {
    /// A worker without entities.
    pub fn new(config: Config, output: Output, sockets: Sockets) -> Worker {
        Worker {
            config,
            clock: Clock::start(),
            random: Random::from_system(),
            output,
            sockets,
            timers: TimerQueue::new(),
            registry: Registry::default(),
            web_rtc_servers: Slab::new(),
            routers: Slab::new(),
            transports: Slab::new(),
            producers: Slab::new(),
            consumers: Slab::new(),
            data_producers: Slab::new(),
            data_consumers: Slab::new(),
            data: data::Workspace::default(),
            rtp_observers: Slab::new(),
            media: Workspace::default(),
            closing: false,
        }
    }

    /// Changes what is logged.
    pub fn update_log_settings(level: Option<LogLevel>, tags: Option<Vec<String>>) {
        let (old_level, old_tags) = crate::log::configuration();
        let tags = tags.map_or(old_tags, |tags| Tags::from_names(tags.iter().map(String::as_str)));
        crate::log::configure(level.unwrap_or(old_level), tags);
    }

    /// The index of the router with that id.
    ///
    /// # Errors
    /// An `Error` if there is none.
    pub fn find_router(&self, id: &str) -> Result<usize, Refusal> {
        match self.registry.get(id) {
            Some(EntityKey::Router(router)) => Ok(router),
            _ => Err(Refusal::error(format!("Router with ID {id} not found"))),
        }
    }

    finder!(
        /// The index of the transport with that id, if it belongs to that router.
        find_transport Transport transports router
    );

    finder!(
        /// The index of the producer with that id, if it is on a transport of that router.
        find_producer Producer producers router
    );

    finder!(
        /// The index of the consumer with that id, if it is on that transport.
        find_consumer Consumer consumers transport
    );

    /// The index of the WebRTC server with that id.
    ///
    /// # Errors
    /// An `Error` if there is none.
    pub fn find_web_rtc_server(&self, id: &str) -> Result<usize, Refusal> {
        match self.registry.get(id) {
            Some(EntityKey::WebRtcServer(server)) => Ok(server),
            _ => Err(Refusal::error(format!("WebRtcServer with ID {id} not found"))),
        }
    }

    /// Closes a WebRTC server with the transports that use it.
    pub fn close_web_rtc_server(&mut self, server: usize) {
        for transport in self.web_rtc_servers[server].transports.clone() {
            self.close_transport(transport);
        }
        let mut entity = self.web_rtc_servers.remove(server);
        self.registry.remove(&entity.id);
        self.timers.cancel(TimerKey::Trials(Owner::WebRtcServer(server)));
        entity.close(&mut self.sockets);
    }

    finder!(
        /// The index of the data producer with that id, if it is on a transport of that router.
        find_data_producer DataProducer data_producers router
    );

    finder!(
        /// The index of the data consumer with that id, if it is on that transport.
        find_data_consumer DataConsumer data_consumers transport
    );

    finder!(
        /// The index of the RTP observer with that id, if it belongs to that router.
        find_rtp_observer RtpObserver rtp_observers router
    );

    /// Closes a router with all that is on it. Nobody is notified: the library knows.
    pub fn close_router(&mut self, router: usize) {
        for observer in std::mem::take(&mut self.routers[router].rtp_observers) {
            self.close_rtp_observer(observer);
        }
        let transports = std::mem::take(&mut self.routers[router].transports);
        for transport in transports {
            let producers = std::mem::take(&mut self.transports[transport].producers);
            for producer in producers {
                self.forget_producer(producer);
            }
            let consumers = std::mem::take(&mut self.transports[transport].consumers);
            for consumer in consumers {
                let consumer = self.consumers.remove(consumer);
                self.registry.remove(&consumer.id);
            }
            self.forget_data(transport);
            self.forget_transport(transport);
        }
        let router = self.routers.remove(router);
        self.registry.remove(&router.id);
    }

    /// Closes a transport with its producers and consumers, of data too. The consumers of its producers are notified.
    pub fn close_transport(&mut self, transport: usize) {
        for producer in self.transports[transport].producers.clone() {
            self.close_producer(producer);
        }
        for consumer in self.transports[transport].consumers.clone() {
            self.close_consumer(consumer);
        }
        for producer in self.transports[transport].data.producers.clone() {
            self.close_data_producer(producer);
        }
        for consumer in self.transports[transport].data.consumers.clone() {
            self.close_data_consumer(consumer);
        }
        let router = self.transports[transport].router;
        self.routers[router].transports.retain(|known| *known != transport);
        self.forget_transport(transport);
    }

    /// Closes a producer; its consumers are notified and go with it.
    pub fn close_producer(&mut self, producer: usize) {
        for observer in self.producers[producer].observers.clone() {
            self.unobserve_producer(observer.observer, producer);
        }
        for consumer in std::mem::take(&mut self.producers[producer].consumers) {
            self.notify_consumer_producer_closed(consumer);
            self.detach_consumer(consumer);
        }
        let transport = &mut self.transports[self.producers[producer].transport];
        transport.producers.retain(|known| *known != producer);
        transport.listener.remove(producer);
        self.forget_producer(producer);
    }

    /// Closes a consumer.
    pub fn close_consumer(&mut self, consumer: usize) {
        let producer = self.consumers[consumer].producer;
        self.producers[producer].consumers.retain(|known| *known != consumer);
        self.detach_consumer(consumer);
    }

    /// Takes a consumer that its producer knows no more out of its transport and out of the world.
    fn detach_consumer(&mut self, consumer: usize) {
        let removed = self.consumers.remove(consumer);
        self.registry.remove(&removed.id);
        self.transports[removed.transport].forget_consumer(consumer, &removed);
    }

    fn forget_producer(&mut self, producer: usize) {
        let producer_entity = self.producers.remove(producer);
        self.registry.remove(&producer_entity.id);
        self.timers.cancel(TimerKey::Producer(producer));
    }

    fn forget_transport(&mut self, transport: usize) {
        let mut entity = self.transports.remove(transport);
        self.registry.remove(&entity.id);
        for key in [
            TimerKey::Ice(transport),
            TimerKey::Dtls(transport),
            TimerKey::Trials(Owner::Transport(transport)),
            TimerKey::Reports(transport),
            TimerKey::Feedback(transport),
            TimerKey::Bandwidth(transport),
            TimerKey::Sctp(transport),
        ] {
            self.timers.cancel(key);
        }
        if let Kind::WebRtc(webrtc) = &entity.kind
            && let Some(server) = webrtc.server
        {
            self.web_rtc_servers[server].forget_transport(transport);
        }
        entity.close(&mut self.sockets);
    }

    /// Does what has become due.
    pub fn handle_timers(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_expired(now) {
            match key {
                TimerKey::Ice(transport) => self.handle_ice_timeout(now, transport),
                TimerKey::Dtls(transport) => self.handle_dtls_timeout(now, transport),
                TimerKey::Trials(owner) => self.handle_trials_timeout(now, owner),
                TimerKey::Accept(listener) => self.sockets.set_accepting(listener, true),
                TimerKey::Reports(transport) => self.send_reports(now, transport),
                TimerKey::Feedback(transport) => self.send_feedback(now, transport),
                TimerKey::Bandwidth(transport) => self.handle_bandwidth_timeout(now, transport),
                TimerKey::Sctp(transport) => self.handle_sctp_timeout(now, transport),
                TimerKey::Observer(observer) => self.handle_observer_timeout(now, observer),
                TimerKey::Producer(producer) => self.handle_producer_timeout(now, producer),
            }
        }
    }
}
