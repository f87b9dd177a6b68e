//! Bytes laid out by field, as a protocol's document draws them.

/// A field of a message: how many bytes it has, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its length in bytes.
    pub len: usize,
    /// Its name and value, for people.
    pub meaning: String,
}

impl Field {
    /// A field of `len` bytes.
    pub fn new(len: usize, meaning: impl Into<String>) -> Field {
        Field { len, meaning: meaning.into() }
    }
}

/// A field's bytes in hexadecimal, padded to the longest of its message, and its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The bytes, two digits each, a space between.
    pub hex: String,
    /// What they say.
    pub meaning: String,
}

/// Bytes of one field that are shown at most; of a longer one the first are, and how many follow.
const SHOWN: usize = 8;

/// Lays out a message. Fields take its bytes in order; what is left over is one row more, and a field that reaches
/// beyond the end has only what is there.
pub fn rows(bytes: &[u8], fields: &[Field]) -> Vec<Row> {
    let mut rest = bytes;
    let mut rows: Vec<Row> = fields
        .iter()
        .map(|field| {
            let (taken, left) = rest.split_at(field.len.min(rest.len()));
            rest = left;
            Row { hex: hex(taken), meaning: field.meaning.clone() }
        })
        .collect();
    if !rest.is_empty() {
        rows.push(Row { hex: hex(rest), meaning: format!("{} bytes more", rest.len()) });
    }
    let width = rows.iter().map(|row| row.hex.chars().count()).max().unwrap_or(0);
    for row in &mut rows {
        row.hex = format!("{:width$}", row.hex);
    }
    rows
}

fn hex(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > SHOWN { " …" } else { "" };
    shown.join(" ") + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_take_their_bytes_in_order_and_the_rest_is_shown() {
        let rows = rows(&[0, 5, b'h', b'i', 9], &[Field::new(2, "length 5"), Field::new(2, "\"hi\"")]);
        let shown: Vec<(&str, &str)> = rows.iter().map(|row| (row.hex.as_str(), row.meaning.as_str())).collect();
        assert_eq!(shown, [("00 05", "length 5"), ("68 69", "\"hi\""), ("09   ", "1 bytes more")]);
    }

    #[test]
    fn a_long_field_is_cut_and_a_missing_one_is_empty() {
        let rows = rows(&[1; 20], &[Field::new(20, "payload"), Field::new(4, "checksum")]);
        assert_eq!(rows[0].hex, "01 01 01 01 01 01 01 01 …");
        assert_eq!(rows[1].hex.trim(), "");
    }
}
