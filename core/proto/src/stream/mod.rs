//! What is known about one RTP stream: loss, jitter, score, NACK, retransmission.
