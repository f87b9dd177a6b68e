//! RTP packets (RFC 3550) and their header extensions (RFC 8285).
