//! Building compound packets that fit a datagram.

/// A compound packet under construction, with a limit of size. Its buffer is kept for the next one.
#[derive(Clone, Debug)]
pub struct Compound {
    bytes: Vec<u8>,
    limit: usize,
}

/// The part would have made the compound packet longer than its limit, and was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RTCP of {needed} bytes over the limit of {limit}")]
pub struct Full {
    /// Length that the compound packet would have had, in bytes.
    pub needed: usize,
    /// The limit in bytes.
    pub limit: usize,
}

impl Compound {
    /// An empty compound packet of at most `limit` bytes. 1200 leaves room for SRTCP in any usual MTU.
    pub fn new(limit: usize) -> Compound {
        Compound { bytes: Vec::new(), limit }
    }

    /// Adds what `write` appends, all of it or nothing:
    /// `compound.push(|out| write_pli(out, sender, media))`.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        let before = self.bytes.len();
        write(&mut self.bytes);
        let needed = self.bytes.len();
        if needed > self.limit {
            self.bytes.truncate(before);
            return Err(Full { needed, limit: self.limit });
        }
        Ok(())
    }

    /// The compound packet so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Empties it, to build the next.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{ReportBlock, packets, write_pli, write_receiver_report, write_sdes_cname};

    #[test]
    fn a_part_that_does_not_fit_leaves_no_trace() {
        let mut compound = Compound::new(56);
        compound.push(|out| write_receiver_report(out, 1, &[ReportBlock::default()])).unwrap();
        compound.push(|out| write_sdes_cname(out, 1, "abc")).unwrap();
        let full = compound.push(|out| write_pli(out, 1, 2)).unwrap_err();
        assert_eq!(full, Full { needed: 60, limit: 56 });
        assert_eq!(packets(compound.bytes()).filter(Result::is_ok).count(), 2);
        compound.clear();
        assert!(compound.is_empty());
    }
}
