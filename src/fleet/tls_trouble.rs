//! What is wrong with TLS to the server, in plain words.

use std::io;

use rustls::AlertDescription as Alert;
use rustls::{CertificateError, Error};

const WRITE: &str = "write tls_cert and tls_key into [fleet]";
const OTHER: &str =
    "let tls_cert name a certificate of an authority that the server knows (its tls-ca-cert-file)";

/// Returns what is wrong and what to do, if it is about TLS. `shows` says whether this node shows a certificate.
#[must_use]
pub fn of(error: &io::Error, shows: bool) -> Option<(String, &'static str)> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::AlertReceived(alert) => {
            let (seen, todo) = refused(*alert, shows);
            (seen.map_or_else(|| format!("TLS: the server says {alert:?}"), str::to_owned), todo)
        }
        Error::InvalidCertificate(why) => {
            let (seen, todo) = disbelieved(why);
            (seen.map_or_else(|| format!("the server's certificate: {why}"), str::to_owned), todo)
        }
        Error::InvalidMessage(_) => (
            "the server does not speak TLS at this port".to_owned(),
            "let `server` name the server's port for TLS (its tls-port)",
        ),
        other => (format!("TLS: {other}"), "see tls_ca, tls_cert and tls_key in [fleet]"),
    })
}

/// What a server means that ends TLS.
fn refused(alert: Alert, shows: bool) -> (Option<&'static str>, &'static str) {
    let seen = match alert {
        Alert::CertificateRequired => return (Some("the server asks for a certificate"), WRITE),
        Alert::HandshakeFailure | Alert::BadCertificate | Alert::NoCertificate if !shows => {
            return (Some("the server takes no connection without a certificate, it seems"), WRITE);
        }
        Alert::UnknownCA => "the server does not know the authority of this node's certificate",
        Alert::CertificateExpired => "the server says that this node's certificate has expired",
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateUnknown
        | Alert::AccessDenied
        | Alert::DecryptError => "the server does not take this node's certificate",
        _ => return (None, "see the log of the server; see tls_cert and tls_key in [fleet]"),
    };
    (Some(seen), OTHER)
}

/// Why the server's certificate is not believed.
fn disbelieved(why: &CertificateError) -> (Option<&'static str>, &'static str) {
    match why {
        CertificateError::UnknownIssuer => (
            Some("the server's certificate is of an authority that is not known here"),
            "let tls_ca in [fleet] name the file of that authority",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            Some("the server's certificate is for another name"),
            "let `server` in [fleet] name the server as its certificate does",
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => (
            Some("the server's certificate is not valid at this time"),
            "see the dates of that certificate, and the clock of this machine",
        ),
        _ => (None, "see the server's certificate, and tls_ca in [fleet]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(error: Error, shows: bool) -> String {
        let (seen, todo) = of(&io::Error::new(io::ErrorKind::InvalidData, error), shows).unwrap();
        format!("{seen}; do: {todo}")
    }

    #[test]
    fn who_reads_it_knows_what_to_write() {
        let asks = words(Error::AlertReceived(Alert::CertificateRequired), false);
        assert_eq!(asks, format!("the server asks for a certificate; do: {WRITE}"));
        // Before TLS 1.3, a server has no word for that.
        let older = words(Error::AlertReceived(Alert::HandshakeFailure), false);
        assert!(older.ends_with(WRITE), "{older}");
        for alert in [Alert::UnknownCA, Alert::CertificateExpired, Alert::BadCertificate] {
            let refused = words(Error::AlertReceived(alert), true);
            assert!(refused.ends_with(OTHER) && !refused.contains("alert"), "{refused}");
        }
        let unknown = words(Error::InvalidCertificate(CertificateError::UnknownIssuer), true);
        assert!(unknown.contains("authority") && unknown.contains("tls_ca"), "{unknown}");
        assert_eq!(of(&io::ErrorKind::UnexpectedEof.into(), false), None);
    }
}
