//! Producers and consumers of a transport: what is asked of the worker when they are made.

use std::sync::atomic::Ordering;

use sfu_channel::reply::{Consumed, Produced};
use sfu_channel::request::{Consume, Produce, Request};
use sfu_channel::{MediaKind, PreferredLayers, RtpParameters, RtpType};

use super::{ConsumerOptions, ProducerOptions, Transport};
use crate::consumer::Consumer;
use crate::entity::{check_id, lock, new_id};
use crate::error::Error;
use crate::ortc;
use crate::producer::Producer;

/// MIDs go from 0 to one less, so that they have at most 8 characters.
const MID_COUNT: u32 = 100_000_000;

impl Transport {
    /// Takes media from the endpoint. All of its producers get the canonical name (CNAME) of the first.
    pub async fn produce(&self, mut options: ProducerOptions) -> Result<Producer, Error> {
        let rtcp = &mut options.rtp_parameters.rtcp;
        rtcp.cname = Some(self.cname(rtcp.cname.take()));
        self.produce_as_it_is(options).await
    }

    /// The same, with the canonical name that the parameters have: behind a pipe there are many endpoints.
    pub(crate) async fn produce_as_it_is(&self, options: ProducerOptions) -> Result<Producer, Error> {
        if let Some(id) = &options.id {
            check_id(id)?;
            if self.router().producer(id).is_some() {
                return Err(Error::WrongOption("a producer with this id exists already"));
            }
        }
        let kind = options.kind;
        let mut rtp_parameters = options.rtp_parameters;
        ortc::validate_rtp_parameters(&mut rtp_parameters)?;
        if rtp_parameters.encodings.is_empty() {
            rtp_parameters.encodings.push(Default::default());
        }

        let capabilities = self.router().rtp_capabilities();
        let rtp_mapping = ortc::get_producer_rtp_parameters_mapping(&mut rtp_parameters, capabilities)?;
        let consumable = ortc::get_consumable_rtp_parameters(kind, &rtp_parameters, capabilities, &rtp_mapping)?;

        let producer_id = options.id.unwrap_or_else(new_id);
        let events = self.inner.entity.channel().subscribe(producer_id.clone());
        let request = Request::TransportProduce(Produce {
            producer_id: producer_id.clone(),
            kind,
            rtp_parameters: rtp_parameters.clone(),
            rtp_mapping,
            paused: options.paused,
            key_frame_request_delay: options.key_frame_request_delay,
            enable_mediasoup_packet_id_header_extension: false,
        });
        let Produced { rtp_type } = self.ask(request).await?;
        Ok(Producer::new(
            self.clone(),
            crate::producer::Made {
                id: producer_id,
                kind,
                rtp_type,
                rtp_parameters,
                consumable_rtp_parameters: consumable,
                paused: options.paused,
            },
            events,
        ))
    }

    /// Sends a producer's media to the endpoint.
    pub async fn consume(&self, options: ConsumerOptions) -> Result<Consumer, Error> {
        let mut capabilities = options.rtp_capabilities;
        ortc::validate_rtp_capabilities(&mut capabilities)?;
        if options.mid.as_ref().is_some_and(String::is_empty) {
            return Err(Error::WrongOption("mid is empty"));
        }
        let producer_id = options.producer_id;
        let Some(producer) = self.router().producer(&producer_id) else {
            return Err(Error::ProducerNotFound(producer_id));
        };
        let kind = producer.kind();
        let enable_rtx = options.enable_rtx.unwrap_or(kind == MediaKind::Video);
        let consumable = producer.consumable_rtp_parameters();
        let mut rtp_parameters =
            ortc::get_consumer_rtp_parameters(consumable, &capabilities, options.pipe, enable_rtx)?;
        if !options.pipe {
            rtp_parameters.mid = Some(options.mid.unwrap_or_else(|| self.next_mid()));
        }
        let rtp_type = if options.pipe { RtpType::Pipe } else { producer.rtp_type() };
        let (paused, layers, ignore_dtx) = (options.paused, options.preferred_layers, options.ignore_dtx);
        self.request_consumer(&producer, rtp_type, rtp_parameters, paused, layers, ignore_dtx).await
    }

    /// Sends all of a producer's streams to the router at the other end of a pipe.
    pub(crate) async fn consume_for_pipe(&self, producer_id: &str, enable_rtx: bool) -> Result<Consumer, Error> {
        let Some(producer) = self.router().producer(producer_id) else {
            return Err(Error::ProducerNotFound(producer_id.to_owned()));
        };
        let parameters = ortc::get_pipe_consumer_rtp_parameters(producer.consumable_rtp_parameters(), enable_rtx);
        self.request_consumer(&producer, RtpType::Pipe, parameters, false, None, false).await
    }

    async fn request_consumer(
        &self,
        producer: &Producer,
        rtp_type: RtpType,
        rtp_parameters: RtpParameters,
        paused: bool,
        preferred_layers: Option<PreferredLayers>,
        ignore_dtx: bool,
    ) -> Result<Consumer, Error> {
        let (producer_id, kind) = (producer.id().to_owned(), producer.kind());
        let consumer_id = new_id();
        let events = self.inner.entity.channel().subscribe(consumer_id.clone());
        let request = Request::TransportConsume(Consume {
            consumer_id: consumer_id.clone(),
            producer_id: producer_id.clone(),
            kind,
            rtp_parameters: rtp_parameters.clone(),
            rtp_type,
            consumable_rtp_encodings: producer.consumable_rtp_parameters().encodings.clone(),
            paused,
            preferred_layers,
            ignore_dtx,
        });
        let consumed: Consumed = self.ask(request).await?;
        Ok(Consumer::new(
            self.clone(),
            crate::consumer::Made { id: consumer_id, producer_id, kind, rtp_type, rtp_parameters, consumed },
            events,
        ))
    }

    fn next_mid(&self) -> String {
        // Wraps with the u32, long after MID_COUNT consumers.
        let number = self.inner.next_mid.fetch_add(1, Ordering::Relaxed) % MID_COUNT;
        number.to_string()
    }

    /// The canonical name of this transport's producers: the first that one of them brings, else one made up.
    fn cname(&self, offered: Option<String>) -> String {
        let offered = offered.filter(|cname| !cname.is_empty());
        let mut cname = lock(&self.inner.cname);
        let made_up = || new_id().chars().take(8).collect();
        cname.get_or_insert_with(|| offered.unwrap_or_else(made_up)).clone()
    }
}
