//! TLS: a certificate and its key from files, errors that say what is wrong with which.

use alloc::sync::Arc;
use std::path::Path;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::RelayError;

/// Reads both files.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, RelayError> {
    let problem = |path: &Path, problem: &dyn core::fmt::Display| RelayError::Tls {
        path: path.to_owned(),
        problem: problem.to_string(),
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| problem(certificate, &describe(&error)))?;
    if chain.is_empty() {
        return Err(problem(certificate, &"there is no certificate in it (PEM is expected)"));
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| problem(key, &describe(&error)))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| problem(key, &format_args!("not usable with the certificate: {error}")))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "there is no key in it (PEM is expected)".to_owned(),
        _ => format!("not PEM: {error}"),
    }
}
