//! Random values from the system.

use sfu_channel::response::Refusal;

/// 32 random bits, for what need not be secret. Zero if the system has none.
pub fn random_u32() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// Random bytes.
///
/// # Errors
/// An `Error` if the system has none.
pub fn random_bytes(len: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).map_err(|error| Refusal::error(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

/// Random small letters and digits, five bits each.
///
/// # Errors
/// An `Error` if the system has none.
pub fn random_text(len: usize) -> Result<String, Refusal> {
    const ALPHABET: [u8; 32] = *b"abcdefghijklmnopqrstuvwxyz012345";
    let bytes = random_bytes(len)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect())
}
