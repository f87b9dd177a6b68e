//! Which producer of a transport a packet is for: by SSRC if known, else by the MID or RID in its header extensions,
//! which teaches the SSRC.

use rustc_hash::FxHashMap;
use sfu_channel::RtpParameters;

use sfu_channel::response::Refusal;

/// SSRCs that one transport learns at most from header extensions, so that a peer that invents them fills no memory.
const MAX_SSRCS: usize = 1024;

/// The tables of one transport; producers are slab indices.
#[derive(Debug, Default)]
pub struct RtpListener {
    by_ssrc: FxHashMap<u32, usize>,
    by_mid: Vec<(Box<str>, usize)>,
    by_rid: Vec<(Box<str>, usize)>,
}

impl RtpListener {
    /// Enters a producer with these parameters, all of them or none.
    ///
    /// # Errors
    /// An `Error` if an SSRC, the MID, or a RID without a MID is taken.
    pub fn add(&mut self, producer: usize, parameters: &RtpParameters) -> Result<(), Refusal> {
        self.check_free(parameters)?;
        for encoding in &parameters.encodings {
            let rtx = encoding.rtx.map(|rtx| rtx.ssrc).filter(|ssrc| *ssrc != 0);
            for ssrc in encoding.ssrc.into_iter().chain(rtx) {
                self.by_ssrc.insert(ssrc, producer);
            }
            if let Some(rid) = &encoding.rid
                && !self.by_rid.iter().any(|(known, _)| **known == **rid)
            {
                self.by_rid.push((rid.as_str().into(), producer));
            }
        }
        if let Some(mid) = &parameters.mid {
            self.by_mid.push((mid.as_str().into(), producer));
        }
        Ok(())
    }

    fn check_free(&self, parameters: &RtpParameters) -> Result<(), Refusal> {
        let mut own = Vec::new();
        for encoding in &parameters.encodings {
            for (name, ssrc) in [("ssrc", encoding.ssrc), ("RTX ssrc", encoding.rtx.map(|rtx| rtx.ssrc))] {
                let Some(ssrc) = ssrc.filter(|ssrc| *ssrc != 0) else { continue };
                if self.by_ssrc.contains_key(&ssrc) || own.contains(&ssrc) {
                    return Err(Refusal::error(format!("{name} already exists in RTP listener [ssrc:{ssrc}]")));
                }
                own.push(ssrc);
            }
            if let Some(rid) = &encoding.rid
                && parameters.mid.is_none()
                && self.by_rid.iter().any(|(known, _)| **known == **rid)
            {
                return Err(Refusal::error(format!(
                    "RID already exists in RTP listener and no MID is given [rid:{rid}]"
                )));
            }
        }
        match &parameters.mid {
            Some(mid) if self.by_mid.iter().any(|(known, _)| **known == **mid) => {
                Err(Refusal::error(format!("MID already exists in RTP listener [mid:{mid}]")))
            }
            _ => Ok(()),
        }
    }

    /// Forgets a producer.
    pub fn remove(&mut self, producer: usize) {
        self.by_ssrc.retain(|_, known| *known != producer);
        self.by_mid.retain(|(_, known)| *known != producer);
        self.by_rid.retain(|(_, known)| *known != producer);
    }

    /// The producer that sends with this SSRC.
    pub fn by_ssrc(&self, ssrc: u32) -> Option<usize> {
        self.by_ssrc.get(&ssrc).copied()
    }

    /// The producer that a packet of an unknown SSRC is for, by the values of its MID and RID extensions (the RID of an
    /// RTX packet is its repaired RID). The SSRC is known from now on.
    pub fn learn(&mut self, ssrc: u32, mid: Option<&[u8]>, rid: Option<&[u8]>) -> Option<usize> {
        let find = |table: &[(Box<str>, usize)], value: Option<&[u8]>| {
            let value = value?;
            table.iter().find(|(known, _)| known.as_bytes() == value).map(|(_, producer)| *producer)
        };
        let producer = find(&self.by_mid, mid).or_else(|| find(&self.by_rid, rid))?;
        if self.by_ssrc.len() >= MAX_SSRCS {
            return None;
        }
        self.by_ssrc.insert(ssrc, producer);
        Some(producer)
    }

    /// The known SSRCs and their producers, for dumps.
    pub fn ssrcs(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        self.by_ssrc.iter().map(|(ssrc, producer)| (*ssrc, *producer))
    }

    /// The MIDs and their producers, for dumps.
    pub fn mids(&self) -> impl Iterator<Item = (&str, usize)> + '_ {
        self.by_mid.iter().map(|(mid, producer)| (&**mid, *producer))
    }

    /// The RIDs and their producers, for dumps.
    pub fn rids(&self) -> impl Iterator<Item = (&str, usize)> + '_ {
        self.by_rid.iter().map(|(rid, producer)| (&**rid, *producer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(mid: Option<&str>, ssrc: Option<u32>, rid: Option<&str>, rtx: Option<u32>) -> RtpParameters {
        serde_json::from_value(serde_json::json!({
            "mid": mid, "codecs": [],
            "encodings": [{"ssrc": ssrc, "rid": rid, "rtx": rtx.map(|ssrc| serde_json::json!({"ssrc": ssrc}))}],
        }))
        .expect("well-formed")
    }

    #[test]
    fn unknown_ssrcs_are_learnt_by_mid() {
        let mut listener = RtpListener::default();
        listener.add(7, &parameters(Some("a"), None, None, None)).unwrap();
        assert_eq!(listener.by_ssrc(1), None);
        assert_eq!(listener.learn(1, Some(b"b"), None), None);
        assert_eq!(listener.learn(1, Some(b"a"), None), Some(7));
        assert_eq!(listener.by_ssrc(1), Some(7));
        listener.remove(7);
        assert_eq!(listener.by_ssrc(1), None);
        assert_eq!(listener.learn(1, Some(b"a"), None), None);
    }

    #[test]
    fn what_is_taken_is_refused_and_nothing_is_entered() {
        let mut listener = RtpListener::default();
        listener.add(0, &parameters(Some("a"), Some(1), Some("r"), Some(2))).unwrap();
        for taken in [
            parameters(None, Some(1), None, None),
            parameters(None, Some(3), None, Some(2)),
            parameters(Some("a"), Some(3), None, None),
            parameters(None, Some(3), Some("r"), None),
            parameters(None, Some(3), None, Some(3)),
        ] {
            assert!(listener.add(1, &taken).is_err(), "{taken:?}");
            assert_eq!(listener.by_ssrc(3), None);
        }
        listener.add(1, &parameters(Some("b"), Some(3), Some("r"), None)).unwrap();
    }

    #[test]
    fn a_peer_cannot_fill_the_memory() {
        let mut listener = RtpListener::default();
        listener.add(0, &parameters(Some("a"), None, None, None)).unwrap();
        let learnt = (0..100_000).filter(|ssrc| listener.learn(*ssrc, Some(b"a"), None).is_some()).count();
        assert_eq!(learnt, MAX_SSRCS);
    }
}
