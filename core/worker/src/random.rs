//! Random values from the system.

use sfu_channel::response::Refusal;

/// 32 random bits, for what need not be secret. Zero if the system has none.
pub fn random_u32() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// A cheap source of numbers that need not be secret, where a system call for each would be too much (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A source with a random beginning.
    pub fn from_system() -> Random {
        Random(getrandom::u64().unwrap_or_default())
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }
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
