//! [`SessionDescription`] to text: the order of RFC 8866 section 5, each line ended by CR LF.

use std::fmt;

use super::attribute::Attribute;
use super::description::{MediaDescription, SessionDescription};

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        let (start, stop) = self.timing;
        f.write_str("v=0\r\n")?;
        write!(f, "o={} {} {}", origin.username, origin.session_id, origin.session_version)?;
        write!(f, " {}\r\n", origin.address)?;
        write!(f, "s={}\r\n", self.session_name)?;
        write_connection(f, self.connection.as_deref())?;
        write!(f, "t={start} {stop}\r\n")?;
        write_attributes(f, &self.attributes)?;
        self.media.iter().try_for_each(|section| write_media(f, section))
    }
}

fn write_media(f: &mut fmt::Formatter<'_>, section: &MediaDescription) -> fmt::Result {
    write!(f, "m={} {} {}", section.media, section.port, section.protocol)?;
    section.formats.iter().try_for_each(|format| write!(f, " {format}"))?;
    f.write_str("\r\n")?;
    write_connection(f, section.connection.as_deref())?;
    section.bandwidths.iter().try_for_each(|(kind, value)| write!(f, "b={kind}:{value}\r\n"))?;
    write_attributes(f, &section.attributes)
}

fn write_connection(f: &mut fmt::Formatter<'_>, connection: Option<&str>) -> fmt::Result {
    connection.iter().try_for_each(|connection| write!(f, "c={connection}\r\n"))
}

fn write_attributes(f: &mut fmt::Formatter<'_>, attributes: &[Attribute]) -> fmt::Result {
    attributes.iter().try_for_each(|attribute| write!(f, "a={attribute}\r\n"))
}
