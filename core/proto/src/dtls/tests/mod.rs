//! Handshakes in virtual time: pairs of our own, and plain clients of the library.

mod bad_input;
mod certificates;
mod client_hello;
mod closing;
mod handshake;
mod pair;
mod plain_client;

use super::Certificate;
use std::sync::LazyLock;

const CLIENT: usize = 0;
const SERVER: usize = 1;

static CERTIFICATES: LazyLock<[Certificate; 2]> =
    LazyLock::new(|| [Certificate::generate().unwrap(), Certificate::generate().unwrap()]);
