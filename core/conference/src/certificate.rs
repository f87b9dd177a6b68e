//! The TLS identity of the server: from files, or self-signed and kept.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{AlpnError, SslAcceptor, SslFiletype, SslMethod, select_next_proto},
    x509::{
        X509, X509Name,
        extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName},
    },
};
use thiserror::Error;

/// Browsers refuse longer ones of a local authority, so a self-signed one is made anew after this time.
const VALID_DAYS: u32 = 397;

/// Why there is no TLS identity. Each says what to do.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file that was named cannot be read.
    #[error("cannot read {path}: {source}; check --cert and --key, or --data-dir")]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no writing where the self-signed certificate is kept.
    #[error("cannot write {path}: {source}; use --data-dir FOLDER")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is there but does not hold what it should.
    #[error("{path} does not hold a {wanted} in PEM format ({}); check --cert and --key", reason(.source))]
    Content {
        /// Which one.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// What the parser says.
        source: ErrorStack,
    },
    /// The key is another certificate's.
    #[error("the private key in {key} does not belong to the certificate in {cert}; check --cert and --key")]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// There is nowhere to keep the self-signed certificate.
    #[error("neither XDG_DATA_HOME nor HOME is set, so there is no place for the certificate; use --data-dir FOLDER")]
    NoDataDir,
    /// The cryptographic library fails.
    #[error("cannot set up TLS: {}", reason(.0))]
    Crypto(#[from] ErrorStack),
}

/// What went wrong first, without where in the library it did.
fn reason(stack: &ErrorStack) -> &'static str {
    stack.errors().first().and_then(openssl::error::Error::reason).unwrap_or("no reason given")
}

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// The folder for what is kept between starts, by the XDG base directory rules.
///
/// # Errors
///
/// [`CertificateError::NoDataDir`] when the environment names none.
pub fn default_data_dir() -> Result<PathBuf, CertificateError> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("sfu-conference"))
        .ok_or(CertificateError::NoDataDir)
}

/// The kept self-signed certificate of `data_dir`. It is made when there is none, when it has expired, and when it
/// lacks one of `addresses`.
///
/// # Errors
///
/// [`CertificateError`] when the folder cannot be written.
pub fn self_signed(data_dir: &Path, addresses: &[IpAddr]) -> Result<Files, CertificateError> {
    let files = Files { cert: data_dir.join("certificate.pem"), key: data_dir.join("key.pem") };
    if files.key.exists() && is_current(&files.cert, addresses) {
        return Ok(files);
    }
    let (certificate, key) = generate(addresses)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(|source| CertificateError::Write { path: data_dir.into(), source })?;
    replace(&files.key, &key.private_key_to_pem_pkcs8()?)?;
    replace(&files.cert, &certificate.to_pem()?)?;
    Ok(files)
}

/// TLS for HTTP/1.1 with the certificate in `files`.
///
/// # Errors
///
/// [`CertificateError`] when a file cannot be read or the two do not fit.
pub fn acceptor(files: &Files) -> Result<SslAcceptor, CertificateError> {
    for path in [&files.cert, &files.key] {
        fs::File::open(path).map_err(|source| CertificateError::Read { path: path.clone(), source })?;
    }
    let content = |path: &Path, wanted| {
        let path = path.to_owned();
        move |source| CertificateError::Content { path, wanted, source }
    };
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_certificate_chain_file(&files.cert).map_err(content(&files.cert, "certificate"))?;
    let key = fs::read(&files.key).map_err(|source| CertificateError::Read { path: files.key.clone(), source })?;
    PKey::private_key_from_pem(&key).map_err(content(&files.key, "private key"))?;
    let mismatch = |_| CertificateError::Mismatch { cert: files.cert.clone(), key: files.key.clone() };
    builder.set_private_key_file(&files.key, SslFiletype::PEM).map_err(mismatch)?;
    builder.check_private_key().map_err(mismatch)?;
    builder.set_alpn_select_callback(|_, offered| select_next_proto(b"\x08http/1.1", offered).ok_or(AlpnError::NOACK));
    Ok(builder.build())
}

fn is_current(path: &Path, addresses: &[IpAddr]) -> bool {
    let Some(certificate) = fs::read(path).ok().and_then(|pem| X509::from_pem(&pem).ok()) else { return false };
    let Ok(tomorrow) = Asn1Time::days_from_now(1) else { return false };
    let names = certificate.subject_alt_names();
    let has = |ip: &IpAddr| {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        names.iter().flatten().any(|name| name.ipaddress() == Some(&octets))
    };
    certificate.not_after() > tomorrow && addresses.iter().all(has)
}

fn generate(addresses: &[IpAddr]) -> Result<(X509, PKey<Private>), ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;

    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, "SFU Internals conference")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;

    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(VALID_DAYS)?)?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    let mut names = SubjectAlternativeName::new();
    names.dns("localhost");
    for ip in addresses {
        names.ip(&ip.to_string());
    }
    let names = names.build(&builder.x509v3_context(None, None))?;
    builder.append_extension(names)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok((builder.build(), key))
}

/// Writes a file that only its owner can read, whole or not at all.
fn replace(path: &Path, content: &[u8]) -> Result<(), CertificateError> {
    let fail = |source| CertificateError::Write { path: path.into(), source };
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(fail)?;
    file.write_all(content).map_err(fail)?;
    fs::rename(&draft, path).map_err(fail)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_certificate_is_made_once_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("deeper/still");
        let files = self_signed(&data, &[ip("192.0.2.1"), ip("2001:db8::1")]).expect("made");
        let first = fs::read(&files.cert).expect("readable");
        assert_eq!(fs::metadata(&files.key).expect("there").permissions().mode() & 0o777, 0o600);
        self_signed(&data, &[ip("192.0.2.1")]).expect("kept");
        assert_eq!(fs::read(&files.cert).expect("readable"), first);
        acceptor(&files).expect("usable");
    }

    #[test]
    fn a_new_address_of_the_machine_makes_a_new_certificate() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = self_signed(folder.path(), &[ip("192.0.2.1")]).expect("made");
        self_signed(folder.path(), &[ip("192.0.2.1"), ip("192.0.2.2")]).expect("made");
        let certificate = X509::from_pem(&fs::read(&files.cert).expect("readable")).expect("a certificate");
        let names = certificate.subject_alt_names().expect("names");
        assert!(names.iter().any(|name| name.dnsname() == Some("localhost")));
        assert!(names.iter().any(|name| name.ipaddress() == Some(&[192, 0, 2, 2])));
    }

    #[test]
    fn a_foreign_key_is_refused() {
        let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let cert = self_signed(one.path(), &[]).expect("made").cert;
        let key = self_signed(other.path(), &[]).expect("made").key;
        let files = Files { cert, key };
        assert!(matches!(acceptor(&files), Err(CertificateError::Mismatch { .. })));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = self_signed(folder.path(), &[]).expect("made");
        let text = folder.path().join("text");
        fs::write(&text, "hello").expect("written");
        files.cert = text.clone();
        let error = acceptor(&files).err().expect("no certificate").to_string();
        assert!(error.contains("does not hold a certificate") && error.contains("--cert"), "{error}");
        // Neither a file nor a line of the library's source.
        assert!(!error.replace(&*text.to_string_lossy(), "").contains('/'), "{error}");
        files.cert = folder.path().join("missing");
        let error = acceptor(&files).err().expect("missing").to_string();
        assert!(error.contains("missing") && error.contains("--cert"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("file");
        fs::write(&data, "in the way").expect("written");
        let error = self_signed(&data, &[]).expect_err("no folder").to_string();
        assert!(error.starts_with("cannot write ") && error.contains("--data-dir"), "{error}");
    }
}
