//! A connection to the manager interface: TCP, or TLS to an Asterisk whose certificate is known.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use thiserror::Error;

use crate::config::AmiAccess;
use crate::model::trouble::Trouble;
use crate::sys::tcp::{Stream, Times, is_for_now};
use crate::sys::text_file::{FileError, read_bytes};

/// How long each thing may take. A read returns without bytes after a quarter of a second, so that time passes for the
/// session.
const TIMES: Times = Times {
    connecting: Duration::from_secs(5),
    turn: Duration::from_millis(250),
    sending: Duration::from_secs(5),
};
/// The bytes of a file of certificates that are read.
const LARGEST: u64 = 1 << 20;

/// The reason why there is no connection, or no longer one.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// It cannot be made, or has failed.
    #[error("no connection to {address}: {error}")]
    Tcp { address: String, error: io::Error },
    /// The other side has closed it.
    #[error("{0} has closed the connection")]
    Closed(String),
    /// The certificates cannot be read.
    #[error("cannot read the certificates in {file}: {error}")]
    Unreadable { file: String, error: FileError },
    /// The file holds none.
    #[error("{file} does not hold certificates (PEM) that can be used")]
    NoCertificates { file: String },
    /// The certificate of Asterisk is not one of these, or TLS failed otherwise.
    #[error("no TLS with {address}: {error}")]
    Tls { address: String, file: String, error: rustls::Error },
}

impl ConnectError {
    /// Returns what is wrong and what to do.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        let todo = match self {
            Self::Tcp { .. } | Self::Closed(_) => {
                "see that Asterisk runs, and that manager.conf has enabled = yes, and this address and port".to_owned()
            }
            Self::Unreadable { file, .. } | Self::NoCertificates { file } => {
                format!("copy Asterisk's certificate (tlscertfile of manager.conf, without its key) to {file}")
            }
            Self::Tls { file, .. } => format!(
                "see that manager.conf has tlsenable = yes, and that {file} holds Asterisk's certificate"
            ),
        };
        Trouble::new(self.to_string(), todo)
    }
}

/// A connection. Reading returns [`io::ErrorKind::WouldBlock`] from time to time.
pub struct Connection {
    stream: Stream,
    address: String,
    cafile: String,
}

impl Connection {
    /// Connects to Asterisk.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn open(access: &AmiAccess) -> Result<Self, ConnectError> {
        let (host, port) = (access.host.as_str(), access.port());
        let address =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let cafile = access.cafile.display().to_string();
        // What is wrong with certificates is said without a connection, too.
        let tls = if access.tls { Some(client(access)?) } else { None };
        let failed = |error| ConnectError::Tcp { address: address.clone(), error };
        let stream = Stream::connect(host, port, tls, TIMES).map_err(failed)?;
        Ok(Self { stream, address, cafile })
    }

    /// Returns the address, for people.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Reads what there is; `None` if nothing came for a moment.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ConnectError> {
        match self.stream.read(buffer) {
            Ok(0) => Err(ConnectError::Closed(self.address.clone())),
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_for_now(&error) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        self.stream.send(bytes).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> ConnectError {
        let address = self.address.clone();
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()).cloned();
        match tls {
            Some(error) => ConnectError::Tls { address, file: self.cafile.clone(), error },
            None if error.kind() == io::ErrorKind::UnexpectedEof => ConnectError::Closed(address),
            None => ConnectError::Tcp { address, error },
        }
    }
}

/// The client's side of TLS, which takes no other certificate than those of the file.
fn client(access: &AmiAccess) -> Result<ClientConnection, ConnectError> {
    let file = access.cafile.display().to_string();
    let verifier = Arc::new(KnownCertificates::read(&access.cafile)?);
    let tls = |error| ConnectError::Tls { address: access.host.clone(), file: file.clone(), error };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from(access.host.clone())
        .map_err(|_| tls(rustls::Error::General("the host has no name for TLS".to_owned())))?;
    ClientConnection::new(Arc::new(config), name).map_err(tls)
}

/// Takes a certificate that is in the file, whatever name it has, and those of the authorities in the file for this host.
/// (Asterisk's own script makes certificates without a name that could be compared.) Signatures are checked in any case.
#[derive(Debug)]
struct KnownCertificates {
    own: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl KnownCertificates {
    fn read(path: &Path) -> Result<Self, ConnectError> {
        let file = path.display().to_string();
        let bytes = read_bytes(path, LARGEST)
            .map_err(|error| ConnectError::Unreadable { file: file.clone(), error })?;
        let own: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let own = own.ok().filter(|own| !own.is_empty());
        let none = || ConnectError::NoCertificates { file: file.clone() };
        let own = own.ok_or_else(none)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(own.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let authorities = authorities.build().map_err(|_| none())?;
        Ok(Self { own, authorities })
    }
}

impl ServerCertVerifier for KnownCertificates {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.own.iter().any(|own| own == certificate) {
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(certificate, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
