//! A data consumer: the messages of a data producer, sent on through another transport or to the library.

use sfu_channel::dump::DataConsumerDump;
use sfu_channel::request::ConsumeData;
use sfu_channel::response::Refusal;
use sfu_channel::stats::DataConsumerStat;
use sfu_channel::{DataType, SctpStreamParameters};

use crate::data_producer::{check_type, stream};
use crate::transport::Transport;

/// One data consumer.
#[derive(Debug)]
pub struct DataConsumer {
    /// Its id.
    pub id: String,
    /// Its transport.
    pub transport: usize,
    /// Its data producer.
    pub producer: usize,
    /// Its data producer's id.
    pub producer_id: String,
    /// How its messages go.
    pub data_type: DataType,
    /// Its stream, if they go over SCTP.
    pub stream: Option<SctpStreamParameters>,
    /// The channel's label.
    pub label: String,
    /// The channel's subprotocol.
    pub protocol: String,
    /// When the library is told that little waits.
    pub low_water: LowWater,
    /// Messages that have been sent.
    pub messages_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
}

/// When `bufferedamountlow` is due.
#[derive(Debug, Default)]
pub struct LowWater {
    /// At so many bytes.
    threshold: u32,
    /// Also if the bytes that wait were no more than that before: the threshold was set while there were more.
    forced: bool,
}

impl LowWater {
    /// The threshold in bytes.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Sets the threshold while so many bytes wait. Returns whether it is due now.
    pub fn set(&mut self, threshold: u32, buffered: u32) -> bool {
        self.threshold = threshold;
        self.forced = buffered > threshold;
        !self.forced
    }

    /// The bytes that wait have become fewer. Returns whether it is due now.
    pub fn pass(&mut self, from: u32, to: u32) -> bool {
        let due = (self.forced || from > self.threshold) && to <= self.threshold;
        self.forced &= !due;
        due
    }
}

impl DataConsumer {
    /// Checks a request to consume on a transport, which has that index.
    ///
    /// # Errors
    /// A `TypeError` if the type does not fit the transport or the stream is missing.
    pub fn new(
        index: usize,
        transport: &Transport,
        producer: usize,
        request: ConsumeData,
    ) -> Result<DataConsumer, Refusal> {
        check_type(transport, request.data_type, "DataConsumer")?;
        let stream = stream(request.data_type, request.sctp_stream_parameters)?;
        Ok(DataConsumer {
            id: request.data_consumer_id,
            transport: index,
            producer,
            producer_id: request.data_producer_id,
            data_type: request.data_type,
            stream,
            label: request.label,
            protocol: request.protocol,
            low_water: LowWater::default(),
            messages_sent: 0,
            bytes_sent: 0,
        })
    }

    /// What it shows of itself, while so many bytes wait.
    pub fn dump(&self, buffered_amount: u32) -> DataConsumerDump {
        DataConsumerDump {
            id: self.id.clone(),
            data_type: self.data_type,
            data_producer_id: self.producer_id.clone(),
            sctp_stream_parameters: self.stream,
            label: self.label.clone(),
            protocol: self.protocol.clone(),
            buffered_amount_low_threshold: self.low_water.threshold(),
            buffered_amount,
            paused: false,
            data_producer_paused: false,
            subchannels: Vec::new(),
        }
    }

    /// Statistics, taken at that time in milliseconds, while so many bytes wait.
    pub fn stat(&self, timestamp: u64, buffered_amount: u32) -> DataConsumerStat {
        DataConsumerStat {
            timestamp,
            label: self.label.clone(),
            protocol: self.protocol.clone(),
            messages_sent: self.messages_sent,
            bytes_sent: self.bytes_sent,
            buffered_amount,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LowWater;

    #[test]
    fn the_library_is_told_once_when_little_waits() {
        let mut low_water = LowWater::default();
        assert!(low_water.pass(10, 0), "the threshold is zero at first");
        assert!(!low_water.pass(10, 1));
        assert!(low_water.set(100, 100), "so little waits already");
        assert!(!low_water.pass(100, 50), "it was low before");
        assert!(low_water.pass(101, 100));
        assert!(!low_water.set(10, 50));
        assert!(!low_water.pass(50, 11));
        assert!(low_water.pass(11, 10));
        assert!(!low_water.pass(10, 0));
    }

    #[test]
    fn a_threshold_that_was_raised_above_what_waits_is_due_at_once() {
        let mut low_water = LowWater::default();
        assert!(!low_water.set(10, 50));
        assert!(low_water.set(60, 50));
        assert!(!low_water.pass(50, 5), "and not again");
    }
}
