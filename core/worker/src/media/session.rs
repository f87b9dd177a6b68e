//! How a transport comes to be connected: ICE and DTLS are driven here, and consumers are told.

use std::time::Instant;

use sfu_channel::notification::{DtlsStateChange, Event};
use sfu_channel::{DtlsState, MediaKind};
use sfu_proto::{dtls, ice, srtp};

use crate::transport::webrtc::ice_tuple;
use crate::transport::{Kind, Path, Protection};
use crate::worker::{TimerKey, Worker};

impl Worker {
    /// A STUN message has come by this path.
    pub(super) fn handle_stun(&mut self, now: Instant, index: usize, path: Path, datagram: &[u8]) {
        let Some(socket) = self.sockets.get(path.socket) else { return };
        let tuple = ice_tuple(socket.protocol(), socket.local, &path);
        let Kind::WebRtc(webrtc) = &mut self.transports[index].kind else { return };
        if let Err(error) = webrtc.ice.handle_packet(now, tuple, datagram) {
            crate::warn!(Ice, "STUN message from {} ignored: {error}", path.remote);
        }
        // The response goes back the way that the request came.
        let mut sent = 0;
        while let Some(transmit) = webrtc.ice.poll_transmit() {
            self.sockets.send(&path, &transmit.payload);
            sent += transmit.payload.len();
        }
        let passed = webrtc.ice.is_valid_tuple(&tuple);
        self.transports[index].traffic.sent.add(now, sent);
        if passed && tuple.protocol == ice::Protocol::Tcp {
            self.adopt_connection(index, path.socket);
        }
        self.handle_ice_events(now, index);
    }

    /// Follows what the ICE agent has decided.
    pub fn handle_ice_events(&mut self, now: Instant, index: usize) {
        let transport = &mut self.transports[index];
        let Kind::WebRtc(webrtc) = &mut transport.kind else { return };
        let mut server = webrtc.server.and_then(|server| self.web_rtc_servers.get_mut(server));
        // Tuples that were another transport's of the server.
        let mut taken = Vec::new();
        while let Some(event) = webrtc.ice.poll_event() {
            match event {
                ice::Event::SelectedTuple(tuple) => {
                    crate::debug!(Ice, "selected tuple {tuple}");
                    webrtc.select(&self.sockets, Some(tuple));
                    if let Some(tuple) = webrtc.selected_tuple(&self.sockets) {
                        self.output.notify(&transport.id, Event::IceSelectedTupleChange(tuple));
                    }
                }
                ice::Event::StateChange(_) => {
                    if webrtc.ice.selected_tuple().is_none() {
                        webrtc.select(&self.sockets, None);
                    }
                    self.output.notify(&transport.id, Event::IceStateChange(webrtc.ice_state()));
                }
                ice::Event::TupleRemoved(tuple) => {
                    crate::debug!(Ice, "tuple removed: {tuple}");
                    if let Some(server) = &mut server
                        && let Some(path) = webrtc.path_of(&self.sockets, &tuple)
                    {
                        server.remove_tuple(path, index);
                    }
                    if let Some(connection) = webrtc.connection_of(&self.sockets, &tuple) {
                        webrtc.remove_connection(&mut self.sockets, connection);
                    }
                }
                ice::Event::TupleAdded(tuple) => {
                    crate::debug!(Ice, "tuple added: {tuple}");
                    if let Some(connection) = webrtc.connection_of(&self.sockets, &tuple) {
                        webrtc.connections.approve(connection);
                    }
                    if let Some(server) = &mut server
                        && let Some(path) = webrtc.path_of(&self.sockets, &tuple)
                        && let Some(other) = server.add_tuple(path, index)
                    {
                        taken.push((other, tuple));
                    }
                }
                ice::Event::CredentialsRetired(fragment) => {
                    if let Some(server) = &mut server {
                        server.remove_username_fragment(&fragment);
                    }
                }
            }
        }
        match webrtc.ice.poll_timeout() {
            Some(deadline) => self.timers.set(TimerKey::Ice(index), deadline),
            None => {
                self.timers.cancel(TimerKey::Ice(index));
            }
        }
        if let Err(error) = webrtc.may_start_dtls(now, &self.config.certificate) {
            crate::error!("cannot start DTLS: {error}");
        }
        self.handle_dtls_events(now, index);
        self.update_connected(now, index);
        for (other, tuple) in taken {
            if let Kind::WebRtc(webrtc) = &mut self.transports[other].kind {
                webrtc.ice.remove_tuple(&tuple);
                self.handle_ice_events(now, other);
            }
        }
    }

    /// A tuple may have lost consent.
    pub fn handle_ice_timeout(&mut self, now: Instant, index: usize) {
        if let Kind::WebRtc(webrtc) = &mut self.transports[index].kind {
            webrtc.ice.handle_timeout(now);
        }
        self.handle_ice_events(now, index);
    }

    /// A DTLS record has come by this path.
    pub(super) fn handle_dtls(&mut self, now: Instant, index: usize, path: Path, datagram: &[u8]) {
        let Some(socket) = self.sockets.get(path.socket) else { return };
        let tuple = ice_tuple(socket.protocol(), socket.local, &path);
        let Kind::WebRtc(webrtc) = &mut self.transports[index].kind else { return };
        if !webrtc.ice.is_valid_tuple(&tuple) {
            crate::warn!(Dtls, "DTLS from {} ignored: no valid ICE tuple", path.remote);
            return;
        }
        let Some(dtls) = &mut webrtc.dtls else { return };
        if let Err(error) = dtls.handle_packet(now, datagram) {
            crate::debug!(Dtls, "DTLS from {} ignored: {error}", path.remote);
        }
        self.handle_dtls_events(now, index);
        self.update_connected(now, index);
    }

    /// Sends what DTLS has to send, and follows what it has come to.
    pub fn handle_dtls_events(&mut self, now: Instant, index: usize) {
        let backend = self.config.srtp_backend;
        let transport = &mut self.transports[index];
        let Kind::WebRtc(webrtc) = &mut transport.kind else { return };
        let path = webrtc.path();
        let Some(dtls) = &mut webrtc.dtls else { return };
        if webrtc.dtls_state == DtlsState::New {
            webrtc.dtls_state = DtlsState::Connecting;
            let change = DtlsStateChange { dtls_state: DtlsState::Connecting, dtls_remote_cert: None };
            self.output.notify(&transport.id, Event::DtlsStateChange(change));
        }
        while let Some(datagram) = dtls.poll_transmit() {
            if let Some(path) = path {
                self.sockets.send(&path, &datagram);
                transport.traffic.sent.add(now, datagram.len());
            }
        }
        let mut records = Vec::new();
        while let Some(event) = dtls.poll_event() {
            let (dtls_state, dtls_remote_cert) = match event {
                dtls::Event::Connected { keys, remote_certificate_pem } => match protection(backend, &keys) {
                    Ok(protection) => {
                        transport.protection = protection;
                        (DtlsState::Connected, Some(remote_certificate_pem))
                    }
                    Err(error) => {
                        crate::error!("cannot key SRTP: {error}");
                        (DtlsState::Failed, None)
                    }
                },
                dtls::Event::Closed => (DtlsState::Closed, None),
                dtls::Event::Failed(error) => {
                    crate::warn!(Dtls, "DTLS failed: {error}");
                    (DtlsState::Failed, None)
                }
                dtls::Event::Data(record) => {
                    records.push(record);
                    continue;
                }
            };
            if dtls_state != DtlsState::Connected {
                transport.protection = Protection::Pending;
            }
            webrtc.dtls_state = dtls_state;
            let change = DtlsStateChange { dtls_state, dtls_remote_cert };
            self.output.notify(&transport.id, Event::DtlsStateChange(change));
        }
        match dtls.poll_timeout() {
            Some(deadline) => self.timers.set(TimerKey::Dtls(index), deadline),
            None => {
                self.timers.cancel(TimerKey::Dtls(index));
            }
        }
        for record in &records {
            transport.receive_sctp(now, record);
        }
        if !records.is_empty() {
            self.mark_sctp(index);
        }
    }

    /// A DTLS flight may have been lost.
    pub fn handle_dtls_timeout(&mut self, now: Instant, index: usize) {
        if let Kind::WebRtc(webrtc) = &mut self.transports[index].kind
            && let Some(dtls) = &mut webrtc.dtls
        {
            dtls.handle_timeout(now);
        }
        self.handle_dtls_events(now, index);
        self.update_connected(now, index);
    }

    /// Tells the consumers of a transport when it becomes connected, and when it is so no more.
    pub fn update_connected(&mut self, now: Instant, index: usize) {
        let transport = &mut self.transports[index];
        let connected = transport.is_ready();
        if connected == transport.connected {
            return;
        }
        transport.connected = connected;
        for position in 0..self.transports[index].consumers.len() {
            let consumer = self.transports[index].consumers[position];
            if connected {
                self.connect_consumer(now, consumer);
            } else {
                self.consumers[consumer].transport_connected = false;
                self.update_layers(now, consumer);
            }
        }
        self.schedule_reports(now, index);
        self.schedule_feedback(now, index);
        if connected {
            self.start_sctp(now, index);
        }
    }

    /// A consumer's transport is connected: it begins.
    pub fn connect_consumer(&mut self, now: Instant, index: usize) {
        let consumer = &mut self.consumers[index];
        consumer.transport_connected = true;
        consumer.require_sync();
        self.restart_layers(now, index);
        self.request_key_frame(now, index);
    }

    /// Stops a consumer.
    pub fn pause_consumer(&mut self, now: Instant, index: usize) {
        self.consumers[index].paused = true;
        self.update_layers(now, index);
    }

    /// Lets a consumer go on, from the next key frame.
    pub fn resume_consumer(&mut self, now: Instant, index: usize) {
        let consumer = &mut self.consumers[index];
        if std::mem::replace(&mut consumer.paused, false) {
            consumer.require_sync();
            self.restart_layers(now, index);
            self.request_key_frame(now, index);
        }
    }

    /// Stops a producer, and tells its consumers.
    pub fn pause_producer(&mut self, now: Instant, index: usize) {
        let producer = &mut self.producers[index];
        if std::mem::replace(&mut producer.paused, true) {
            return;
        }
        for stream in &mut producer.streams {
            if let Some(nack) = &mut stream.nack {
                nack.reset();
            }
            if let Some(inactivity) = &mut stream.inactivity {
                inactivity.pause();
            }
        }
        for consumer in &producer.consumers {
            let consumer = &mut self.consumers[*consumer];
            consumer.producer_paused = true;
            self.output.notify(&consumer.id, Event::ProducerPause);
        }
        self.set_observed_producer_paused(index, true);
        self.update_consumers_layers(now, index);
    }

    /// Lets a producer go on, from new key frames, and tells its consumers.
    pub fn resume_producer(&mut self, now: Instant, index: usize) {
        let producer = &mut self.producers[index];
        if !std::mem::replace(&mut producer.paused, false) {
            return;
        }
        for consumer in &producer.consumers {
            let consumer = &mut self.consumers[*consumer];
            consumer.producer_paused = false;
            consumer.require_sync();
            self.output.notify(&consumer.id, Event::ProducerResume);
        }
        if producer.kind == MediaKind::Video {
            for stream in &producer.streams {
                producer.key_frames.handle_forced_request(now, stream.ssrc());
            }
        }
        self.set_observed_producer_paused(index, false);
        for position in 0..self.producers[index].consumers.len() {
            self.restart_layers(now, self.producers[index].consumers[position]);
        }
        self.poll_producer(now, index);
    }

    /// A consumer is to be closed because its producer was.
    pub fn notify_consumer_producer_closed(&mut self, index: usize) {
        self.output.notify(&self.consumers[index].id, Event::ProducerClose);
    }

    /// Asks a consumer's producer for a key frame of each stream that the consumer would forward.
    pub fn request_key_frame(&mut self, now: Instant, index: usize) {
        let consumer = &self.consumers[index];
        if consumer.kind != MediaKind::Video || !consumer.is_active() {
            return;
        }
        if consumer.layers.is_some() {
            return self.request_layers_key_frames(now, index);
        }
        let producer = &mut self.producers[consumer.producer];
        for stream in consumer.producer_streams() {
            if let Some(stream) = producer.streams.get(stream) {
                producer.key_frames.handle_request(now, stream.ssrc());
            }
        }
        self.poll_producer(now, self.consumers[index].producer);
    }
}

fn protection(backend: srtp::Backend, keys: &dtls::SrtpKeys) -> Result<Protection, srtp::SrtpError> {
    Ok(Protection::Srtp {
        sender: srtp::Sender::new(backend, keys.suite, &keys.local)?,
        receiver: srtp::Receiver::new(backend, keys.suite, &keys.remote)?,
    })
}
