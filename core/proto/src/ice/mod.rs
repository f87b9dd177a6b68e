//! ICE-lite (RFC 8445): the agent of a server that answers connectivity checks.
