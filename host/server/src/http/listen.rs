//! Addresses to listen on, TLS, and the word that it is time to stop.

use anyhow::Context as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// A bound address.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Clones hear of the same end.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// The end, and who may announce it.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub(crate) fn is_now(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is time to stop.
    pub(crate) async fn wait(&mut self) {
        // An error means that nobody is left who could announce it, which is the end too.
        let _ = self.0.wait_for(|now| *now).await;
    }
}

/// Listens on every address.
///
/// # Errors
/// One of them is taken or not ours.
pub(crate) async fn bind(addresses: &[SocketAddr]) -> anyhow::Result<Vec<Listener>> {
    let mut bound = Vec::new();
    for address in addresses {
        let socket = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = socket.local_addr()?;
        bound.push(Listener { socket, address });
    }
    Ok(bound)
}

/// TLS with a certificate chain and its key, both as PEM.
///
/// # Errors
/// The files cannot be read, or do not belong together.
pub(crate) fn tls(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("certificate {}", certificate.display()))?;
    let key_der = PrivateKeyDer::from_pem_file(key).with_context(|| format!("key {}", key.display()))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS")?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .context("the certificate and the key cannot be used")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
