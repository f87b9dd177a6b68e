//! DTLS 1.2 over memory (RFC 6347, RFC 5764).
