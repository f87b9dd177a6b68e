//! Codec payload descriptors, as far as forwarding needs them.
