//! ICE-TCP connections as they come and go: whose they are, and how long they may stay without a check.

use std::time::Instant;

use sfu_proto::ice;
use sfu_reactor::tcp::TcpStream;

use crate::sockets::{Owner, SocketIo};
use crate::transport::Kind;
use crate::transport::connections::Connections;
use crate::worker::{TimerKey, Worker};

impl Worker {
    /// A connection has been accepted by that listening socket. Dropping the stream closes it.
    pub fn handle_connection(&mut self, now: Instant, listener: usize, stream: TcpStream) {
        let Some(owner) = self.sockets.get(listener).map(|socket| socket.owner) else { return };
        let Some(connections) = self.connections_of(owner) else { return };
        if connections.is_full() {
            crate::warn!(Ice, "connection from {} refused: too many", stream.remote_addr());
            return;
        }
        match self.sockets.insert_connection(listener, stream) {
            Ok(connection) => {
                if let Some(connections) = self.connections_of(owner) {
                    connections.add(now, connection);
                }
                self.schedule_trials(owner);
            }
            Err(error) => crate::warn!(Ice, "cannot keep a connection: {error}"),
        }
    }

    /// A check has passed on a connection of a WebRTC server: from now on it is that transport's.
    pub(super) fn adopt_connection(&mut self, transport: usize, connection: usize) {
        let Some(Owner::WebRtcServer(server)) = self.sockets.get(connection).map(|socket| socket.owner) else { return };
        let Kind::WebRtc(webrtc) = &mut self.transports[transport].kind else { return };
        self.web_rtc_servers[server].connections.remove(connection);
        webrtc.connections.add_approved(connection);
        self.sockets.set_owner(connection, Owner::Transport(transport));
        self.schedule_trials(Owner::WebRtcServer(server));
    }

    /// A connection has ended.
    pub fn handle_connection_closed(&mut self, now: Instant, connection: usize) {
        let Some(socket) = self.sockets.get(connection) else { return };
        let SocketIo::Tcp(stream) = &socket.io else { return };
        let tuple = ice::Tuple { protocol: ice::Protocol::Tcp, local: socket.local, remote: stream.remote_addr() };
        let owner = socket.owner;
        if let Owner::Transport(transport) = owner
            && let Some(Kind::WebRtc(webrtc)) = self.transports.get_mut(transport).map(|entity| &mut entity.kind)
        {
            // Before the connection goes, by which the path is found.
            webrtc.ice.remove_tuple(&tuple);
            self.handle_ice_events(now, transport);
        }
        if let Some(connections) = self.connections_of(owner) {
            connections.remove(connection);
        }
        self.sockets.remove(connection);
    }

    /// Sets when the next of an owner's connections is closed if no check comes by it.
    pub fn schedule_trials(&mut self, owner: Owner) {
        match self.connections_of(owner).and_then(|connections| connections.next_deadline()) {
            Some(deadline) => self.timers.set(TimerKey::Trials(owner), deadline),
            None => {
                self.timers.cancel(TimerKey::Trials(owner));
            }
        }
    }

    /// Closes an owner's connections that no check has come by for too long.
    pub fn handle_trials_timeout(&mut self, now: Instant, owner: Owner) {
        while let Some(connection) = self.connections_of(owner).and_then(|connections| connections.pop_expired(now)) {
            crate::debug!(Ice, "connection without a connectivity check closed");
            self.sockets.remove(connection);
        }
        self.schedule_trials(owner);
    }

    fn connections_of(&mut self, owner: Owner) -> Option<&mut Connections> {
        match owner {
            Owner::Transport(transport) => match &mut self.transports.get_mut(transport)?.kind {
                Kind::WebRtc(webrtc) => Some(&mut webrtc.connections),
                Kind::Plain(_) | Kind::Pipe(_) | Kind::Direct => None,
            },
            Owner::WebRtcServer(server) => Some(&mut self.web_rtc_servers.get_mut(server)?.connections),
        }
    }
}
