//! What a peer sends: producers, made of RTP parameters or of the offers of a connection.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value, json};
use sfu_channel::{MediaKind, RtpParameters};
use sfu_control::{Producer, ProducerEvent, ProducerOptions, WebRtcTransport, ortc, sdp::SendNegotiator};
use tokio::sync::broadcast;
use tracing::warn;

use crate::{
    peer::{Answer, Peer, bad, error, failed, next},
    protoo::{Connection, ErrorResponse},
    schema::{FAILED, Produce, Publish},
    transport::local,
};

/// What one peer may have at a time.
const MAX_PRODUCERS: usize = 32;

/// A connection that the peer offers by SDP.
#[derive(Debug)]
pub(crate) struct Sending {
    /// What is agreed on.
    pub(crate) negotiator: SendNegotiator,
    /// What is sent, by mid.
    producers: HashMap<String, Arc<Published>>,
}

/// A producer, as the room knows it.
#[derive(Debug)]
pub struct Published {
    /// The producer itself.
    pub producer: Producer,
    /// Whose it is.
    pub peer_id: String,
    /// What its owner tells the others about it.
    pub app_data: Value,
}

impl Peer {
    pub(crate) async fn publish(
        self: &Arc<Self>,
        Publish { transport_id, sdp, encodings, app_data }: Publish,
    ) -> Answer {
        self.check_joined()?;
        let transport = self.transport(&transport_id)?;
        let mut sending = self.sending.lock().await;
        let sending = sending.entry(transport_id).or_insert_with(|| Sending {
            negotiator: SendNegotiator::new(local(&transport), self.room().router().rtp_capabilities().clone()),
            producers: HashMap::new(),
        });
        let wanted = sending.negotiator.offer(&sdp, &encodings).map_err(|reason| bad("publish", "sdp", &reason))?;
        if let Some(parameters) = wanted.dtls_parameters {
            transport.connect(parameters).await.map_err(failed)?;
        }
        if wanted.ice_restart {
            sending.negotiator.restart_ice(transport.restart_ice().await.map_err(failed)?);
        }
        for mid in &wanted.stopped {
            let Some(published) = sending.producers.remove(mid) else { continue };
            self.forget_producer(published.producer.id());
            published.producer.close().await.map_err(failed)?;
        }
        for section in wanted.started {
            let app_data = app_data.get(&section.mid).cloned().unwrap_or_default().0;
            match self.begin_to_produce(&transport, section.kind, section.rtp_parameters, app_data).await {
                Ok(published) => {
                    sending.producers.insert(section.mid, published);
                }
                Err(error) => {
                    warn!("peer {:?}: mid {:?} cannot be produced: {error}", self.id(), section.mid);
                    sending.negotiator.reject(&section.mid);
                }
            }
        }
        let producers: Vec<_> = sending
            .producers
            .iter()
            .map(|(mid, published)| json!({ "mid": mid, "id": published.producer.id(), "kind": published.producer.kind() }))
            .collect();
        Ok(json!({ "sdp": sending.negotiator.answer(), "producers": producers }))
    }

    pub(crate) async fn produce(
        self: &Arc<Self>,
        Produce { transport_id, kind, mut rtp_parameters, app_data }: Produce,
    ) -> Answer {
        self.check_joined()?;
        let transport = self.transport(&transport_id)?;
        ortc::validate_rtp_parameters(&mut rtp_parameters)
            .map_err(|reason| bad("produce", "rtpParameters", &reason))?;
        let published = self.begin_to_produce(&transport, kind, rtp_parameters, app_data.0).await?;
        Ok(json!({ "id": published.producer.id() }))
    }

    async fn begin_to_produce(
        self: &Arc<Self>,
        transport: &WebRtcTransport,
        kind: MediaKind,
        rtp_parameters: RtpParameters,
        mut app_data: Map<String, Value>,
    ) -> Result<Arc<Published>, ErrorResponse> {
        if self.producers().len() >= MAX_PRODUCERS {
            return Err(error(FAILED, format!("a peer has at most {MAX_PRODUCERS} producers")));
        }
        let producer = transport.produce(ProducerOptions::new(kind, rtp_parameters)).await.map_err(failed)?;
        app_data.insert("peerId".into(), self.id().to_owned().into());
        let published = Arc::new(Published { producer, peer_id: self.id().to_owned(), app_data: app_data.into() });
        if !self.room().publish(self, &published) {
            published.producer.close().await.map_err(failed)?;
            return Err(error(FAILED, "the peer has left".into()));
        }
        let events = published.producer.events();
        tokio::spawn(watch_producer(self.connection().clone(), events, published.producer.clone()));
        Ok(published)
    }
}

/// Tells the owner how well its media arrives.
async fn watch_producer(connection: Connection, mut events: broadcast::Receiver<ProducerEvent>, producer: Producer) {
    while let Some(event) = next(&mut events).await {
        match event {
            ProducerEvent::Score(score) => {
                connection.notify("producerScore", json!({ "producerId": producer.id(), "score": score }));
            }
            ProducerEvent::Close | ProducerEvent::TransportClose => return,
            _ => {}
        }
    }
}
