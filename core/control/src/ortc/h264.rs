//! H264's `profile-level-id`: which profile, up to which level (RFC 6184 section 8.1).
//!
//! The npm package `h264-profile-level-id`, which mediasoup uses, differs in one point: of the levels 1 and 1b it takes 1b
//! for the lower one, so that it would answer more than a decoder of level 1 can do. Here the standard's order holds.

use sfu_channel::{ParameterValue, Parameters};

/// What decides whether a decoder understands a stream at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    PredictiveHigh444,
}

/// How large and fast pictures may be. The order is that of the standard: 1b lies between 1 and 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    One,
    OneB,
    /// Ten times the number of any other level.
    Other(u8),
}

/// The constraint flag that turns level 1.1 into 1b, for profiles that have it.
const CONSTRAINT_SET3: u8 = 0x10;

/// `profile_idc`, the bits of `profile_iop` that matter, their values, the profile (RFC 6184 table 5).
const PROFILES: [(u8, u8, u8, Profile); 9] = [
    (0x42, 0b0100_1111, 0b0100_0000, Profile::ConstrainedBaseline),
    (0x4d, 0b1000_1111, 0b1000_0000, Profile::ConstrainedBaseline),
    (0x58, 0b1100_1111, 0b1100_0000, Profile::ConstrainedBaseline),
    (0x42, 0b0100_1111, 0b0000_0000, Profile::Baseline),
    (0x58, 0b1100_1111, 0b1000_0000, Profile::Baseline),
    (0x4d, 0b1010_1111, 0b0000_0000, Profile::Main),
    (0x64, 0b1111_1111, 0b0000_0000, Profile::High),
    (0x64, 0b1111_1111, 0b0000_1100, Profile::ConstrainedHigh),
    (0xf4, 0b1111_1111, 0b0000_0000, Profile::PredictiveHigh444),
];

/// Levels without 1, 1.1 and 1b, which are read apart.
const LEVELS: [u8; 14] = [12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52];

/// Whether both name the same profile. One that names none has Constrained Baseline, as libwebrtc has it (RFC 6184
/// says Baseline); one that names an unknown profile is the same as no other.
pub(super) fn is_same_profile(a: &Parameters, b: &Parameters) -> bool {
    match (parse_parameters(a), parse_parameters(b)) {
        (Some((a, _)), Some((b, _))) => a == b,
        _ => false,
    }
}

/// The `profile-level-id` to answer with: the common profile, at the local level if both allow the levels to differ,
/// else at the lower one (RFC 6184 section 8.2.2). `None` when neither names one or the profiles differ.
pub(super) fn profile_level_id_for_answer(local: &Parameters, remote: &Parameters) -> Option<String> {
    if !local.contains_key("profile-level-id") && !remote.contains_key("profile-level-id") {
        return None;
    }
    let (profile, local_level) = parse_parameters(local)?;
    let (remote_profile, remote_level) = parse_parameters(remote)?;
    if profile != remote_profile {
        return None;
    }
    let asymmetric = allows_asymmetry(local) && allows_asymmetry(remote);
    let level = if asymmetric { local_level } else { local_level.min(remote_level) };
    write(profile, level)
}

fn allows_asymmetry(parameters: &Parameters) -> bool {
    parameters.get("level-asymmetry-allowed").and_then(ParameterValue::as_int) == Some(1)
}

fn parse_parameters(parameters: &Parameters) -> Option<(Profile, Level)> {
    match parameters.get("profile-level-id") {
        None => Some((Profile::ConstrainedBaseline, Level::Other(31))),
        // An id of decimal digits only may have been read as a number: 420029 is one.
        Some(ParameterValue::Int(number)) => parse(&format!("{number:06}")),
        Some(value) => parse(value.as_str()?),
    }
}

fn parse(text: &str) -> Option<(Profile, Level)> {
    if text.len() != 6 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let [_, idc, iop, level] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
    let level = match level {
        10 => Level::One,
        11 if iop & CONSTRAINT_SET3 != 0 => Level::OneB,
        11 => Level::Other(11),
        level if LEVELS.contains(&level) => Level::Other(level),
        _ => return None,
    };
    let of_pattern = |&&(of, mask, value, _): &&(u8, u8, u8, Profile)| idc == of && iop & mask == value;
    PROFILES.iter().find(of_pattern).map(|&(_, _, _, profile)| (profile, level))
}

fn write(profile: Profile, level: Level) -> Option<String> {
    let level = match (level, profile) {
        (Level::OneB, Profile::ConstrainedBaseline) => return Some("42f00b".to_owned()),
        (Level::OneB, Profile::Baseline) => return Some("42100b".to_owned()),
        (Level::OneB, Profile::Main) => return Some("4d100b".to_owned()),
        (Level::OneB, _) => return None,
        (Level::One, _) => 10,
        (Level::Other(level), _) => level,
    };
    let profile = match profile {
        Profile::ConstrainedBaseline => "42e0",
        Profile::Baseline => "4200",
        Profile::Main => "4d00",
        Profile::ConstrainedHigh => "640c",
        Profile::High => "6400",
        Profile::PredictiveHigh444 => "f400",
    };
    Some(format!("{profile}{level:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h264(profile_level_id: &str, asymmetry: i64) -> Parameters {
        [
            ("profile-level-id".to_owned(), profile_level_id.into()),
            ("level-asymmetry-allowed".to_owned(), asymmetry.into()),
        ]
        .into()
    }

    #[test]
    fn ids_of_the_standard() {
        for (id, profile, level) in [
            ("42e01f", Profile::ConstrainedBaseline, Level::Other(31)),
            ("42C02A", Profile::ConstrainedBaseline, Level::Other(42)),
            ("4de01f", Profile::ConstrainedBaseline, Level::Other(31)),
            ("58f01f", Profile::ConstrainedBaseline, Level::Other(31)),
            ("42a01f", Profile::Baseline, Level::Other(31)),
            ("58A01F", Profile::Baseline, Level::Other(31)),
            ("4d401f", Profile::Main, Level::Other(31)),
            ("640c1f", Profile::ConstrainedHigh, Level::Other(31)),
            ("64001f", Profile::High, Level::Other(31)),
            ("f4001f", Profile::PredictiveHigh444, Level::Other(31)),
            ("42e00b", Profile::ConstrainedBaseline, Level::Other(11)),
            ("42f00b", Profile::ConstrainedBaseline, Level::OneB),
            ("42e00a", Profile::ConstrainedBaseline, Level::One),
        ] {
            assert_eq!(parse(id), Some((profile, level)), "{id}");
        }
        for id in ["", "42e01", "42e01f0", "42e01g", "000000", "42e000", "42e00f", "42e0ff", "640601", "+42e01"] {
            assert_eq!(parse(id), None, "{id}");
        }
        assert!(Level::One < Level::OneB && Level::OneB < Level::Other(11));
    }

    #[test]
    fn the_answered_level() {
        let answer = |local: (&str, i64), remote: (&str, i64)| {
            profile_level_id_for_answer(&h264(local.0, local.1), &h264(remote.0, remote.1))
        };
        assert_eq!(answer(("42e015", 0), ("42e01f", 0)).as_deref(), Some("42e015"));
        assert_eq!(answer(("42e01f", 0), ("42e015", 0)).as_deref(), Some("42e015"));
        assert_eq!(answer(("42e01f", 1), ("42e015", 1)).as_deref(), Some("42e01f"));
        assert_eq!(answer(("42e01f", 1), ("42e015", 0)).as_deref(), Some("42e015"));
        assert_eq!(answer(("42c01f", 1), ("42e01f", 1)).as_deref(), Some("42e01f"));
        assert_eq!(answer(("42f00b", 1), ("42e01f", 1)).as_deref(), Some("42f00b"));
        assert_eq!(answer(("42e01f", 1), ("64001f", 1)), None);
        assert_eq!(profile_level_id_for_answer(&Parameters::new(), &Parameters::new()), None);
    }
}
