//! Ways of reading and writing that serde has no attribute for.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A list of trace types as one text, commas between.
pub(crate) mod comma_joined {
    use super::{Deserialize, Deserializer, Error};
    use crate::types::TraceType;
    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer, T: TraceType>(types: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<_> = types.iter().map(|kind| kind.as_str()).collect();
        serializer.serialize_str(&names.join(","))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TraceType>(deserializer: D) -> Result<Vec<T>, D::Error> {
        String::deserialize(deserializer)?
            .split(',')
            .filter(|name| !name.is_empty())
            .map(|name| T::from_name(name).ok_or_else(|| D::Error::custom(format!("unknown trace type {name:?}"))))
            .collect()
    }
}

/// Trace types to enable: a list of names, of which unknown ones are left out.
pub(crate) mod known_names {
    use super::{Deserialize, Deserializer};
    use crate::types::TraceType;
    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer, T: TraceType>(types: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(types.iter().map(|kind| kind.as_str()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TraceType>(deserializer: D) -> Result<Vec<T>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(names.iter().filter_map(|name| T::from_name(name)).collect())
    }
}

/// Reads any JSON number that is not negative as a whole one, cut towards zero. Negative ones count as absent.
pub(crate) fn rough_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(deserializer)?;
    Ok(number.and_then(|number| {
        // A cast from float to integer saturates.
        let rough = || number.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64);
        number.as_u64().or_else(rough)
    }))
}

/// Reads any JSON number as a whole one: cut towards zero, and kept within the range of `i32`.
pub(crate) fn any_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    // A cast from float to integer saturates.
    f64::deserialize(deserializer).map(|number| number as i32)
}
