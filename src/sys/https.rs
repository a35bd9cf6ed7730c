//! A client for HTTPS: which certificates it believes, and how its errors are told without what is secret in an address.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::text_file::read_bytes;
use crate::model::trouble::Trouble;

/// Bytes of a file of certificates.
const LARGEST: u64 = 1 << 20;
/// Bytes that a part of an address has at least if it is taken for a secret.
const SECRET: usize = 6;

/// Returns a client that believes the authorities in `cafile` (PEM), or those of the system. A request takes `patience` at
/// most. No redirect is followed, no proxy is used, and no status is an error.
///
/// # Errors
/// When the authorities cannot be read.
pub fn agent(cafile: Option<&Path>, patience: Duration) -> Result<Agent, Trouble> {
    let authorities = match cafile {
        Some(file) => certificates(file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let authorities = authorities.iter().map(|one| Certificate::from_der(one.as_ref()).to_owned());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(authorities.collect::<Vec<_>>()))
        .build();
    let agent = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("asterguard/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(agent.new_agent())
}

/// Reads the certificates of a file.
///
/// # Errors
/// When it cannot be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let file = path.display();
    let todo =
        || format!("write the certificates (PEM) of the authority into {file}, which all may read");
    let bytes = read_bytes(path, LARGEST).map_err(|error| {
        Trouble::new(format!("cannot read the certificates in {file}: {error}"), todo())
    })?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let read = read.ok().filter(|read| !read.is_empty());
    read.ok_or_else(|| Trouble::new(format!("{file} does not hold certificates (PEM)"), todo()))
}

/// Returns what to do about a certificate that is not believed, with authorities from `cafile` or from the system.
#[must_use]
pub fn certificate_todo(cafile: Option<&Path>) -> String {
    cafile.map_or_else(
        || "let the service have a certificate that the system knows, or name its authority: cafile = \"/path\"".to_owned(),
        |file| format!("see that the certificate of the service is signed by one in {}, and names it", file.display()),
    )
}

/// Returns an error and what it was caused by, as one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    // Here, TLS goes on with the address of a manual for programmers.
    if let Some(end) = text.find(" without sending TLS close_notify") {
        text.truncate(end);
    }
    text
}

/// Whether an error is one of the certificates of TLS.
#[must_use]
pub fn is_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let error = cause.downcast_ref::<rustls::Error>().or(inner);
        if matches!(error, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// Whether a request failed because of the certificate of the server.
#[must_use]
pub fn is_about_certificate(error: &ureq::Error) -> bool {
    // It does not name what it is caused by.
    match error {
        ureq::Error::Io(error) => is_certificate(error),
        ureq::Error::Rustls(error) => is_certificate(error),
        error => is_certificate(error),
    }
}

/// Returns the host and port of an address, without the user before it.
#[must_use]
pub fn host_and_port(url: &Uri) -> &str {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    authority.rsplit('@').next().unwrap_or_default()
}

/// Takes an address, and its longer parts, out of a text.
#[must_use]
pub fn hide(text: &str, url: &Uri) -> String {
    let parts = url.path().split('/').chain(url.query());
    let mut text = text.replace(&url.to_string(), "***");
    for part in parts.filter(|part| part.len() >= SECRET) {
        text = text.replace(part, "***");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_connection_is_told_in_plain_words() {
        let said = "peer closed connection without sending TLS close_notify: https://docs.rs/x";
        let error = io::Error::new(io::ErrorKind::UnexpectedEof, said);
        assert_eq!(chain(&error), "peer closed connection");
    }

    #[test]
    fn an_address_is_not_told() {
        let url: Uri =
            "https://user:pw@hooks.example.com/T00/s3cretpart?token=abcdef".parse().unwrap();
        assert_eq!(host_and_port(&url), "hooks.example.com");
        let text = hide(&format!("{url} s3cretpart token=abcdef T00"), &url);
        assert_eq!(text, "*** *** *** T00");
    }
}
