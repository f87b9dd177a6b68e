//! STUN (RFC 8489): messages as checked views, and a builder.
