//! What SRTP has to know of a packet's layout: where the clear header ends, and whose stream it is.

use super::SrtpError;

/// Bytes of the fixed RTP header (RFC 3550 §5.1).
const RTP_FIXED_LEN: usize = 12;

/// Bytes at the head of a compound RTCP packet that stay clear: the first header and the sender's SSRC (RFC 3711 §3.4).
pub(super) const RTCP_CLEAR_LEN: usize = 8;

/// The flag in front of the SRTCP index that says that the packet is encrypted.
pub(super) const SRTCP_E: u32 = 1 << 31;

/// What [`rtp_header`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RtpHeader {
    /// Bytes of the fixed part, the CSRCs and the header extensions.
    pub len: usize,
    pub ssrc: u32,
    pub sequence: u16,
}

/// Finds the end of the RTP header: everything before it is authenticated but not encrypted.
pub(super) fn rtp_header(packet: &[u8]) -> Result<RtpHeader, SrtpError> {
    let too_short = SrtpError::TooShort(packet.len());
    let fixed: &[u8; RTP_FIXED_LEN] = packet.first_chunk().ok_or(too_short)?;
    if fixed[0] >> 6 != 2 {
        return Err(SrtpError::NotRtp);
    }
    let mut len = RTP_FIXED_LEN + 4 * usize::from(fixed[0] & 0x0f);
    if fixed[0] & 0x10 != 0 {
        let extension: &[u8; 4] = packet.get(len..).and_then(|rest| rest.first_chunk()).ok_or(too_short)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    if len > packet.len() {
        return Err(too_short);
    }
    Ok(RtpHeader {
        len,
        ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
    })
}

/// The SSRC of the sender of a compound RTCP packet of at least `min` bytes.
pub(super) fn rtcp_ssrc(packet: &[u8], min: usize) -> Result<u32, SrtpError> {
    match packet.first_chunk::<RTCP_CLEAR_LEN>() {
        Some(head) if packet.len() >= min => {
            if head[0] >> 6 != 2 {
                return Err(SrtpError::NotRtp);
            }
            Ok(u32::from_be_bytes([head[4], head[5], head[6], head[7]]))
        }
        _ => Err(SrtpError::TooShort(packet.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_ends_where_the_payload_begins() {
        let mut packet = [0; 60];
        packet[..12].copy_from_slice(&[0x80, 96, 1, 2, 0, 0, 0, 0, 3, 4, 5, 6]);
        let header = |len| RtpHeader { len, ssrc: 0x0304_0506, sequence: 0x0102 };
        assert_eq!(rtp_header(&packet), Ok(header(12)));
        packet[0] = 0x8f;
        assert_eq!(rtp_header(&packet), Err(SrtpError::TooShort(60)), "15 CSRCs need 72 bytes");
        packet[0] = 0x83;
        assert_eq!(rtp_header(&packet), Ok(header(24)));
        packet[0] = 0x93;
        packet[24..28].copy_from_slice(&[0xbe, 0xde, 0, 8]);
        assert_eq!(rtp_header(&packet), Ok(header(60)), "no payload");
        packet[27] = 9;
        assert_eq!(rtp_header(&packet), Err(SrtpError::TooShort(60)));
        assert_eq!(rtp_header(&packet[..27]), Err(SrtpError::TooShort(27)));
        assert_eq!(rtp_header(&packet[..11]), Err(SrtpError::TooShort(11)));
    }
}
