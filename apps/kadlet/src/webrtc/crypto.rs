//! What str0m wants of cryptography, from crates that build with rustc and a linker alone: its own
//! backends all bring one that wants cmake. DTLS is dimpl's over RustCrypto, hashes and certificates
//! are ring's, as in the relay.

use alloc::boxed::Box;
use alloc::sync::Arc;
use std::sync::OnceLock;
use std::time::Instant;

use dimpl::{Config, Dtls, DtlsCertificate, Error, Output};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::hmac;
use str0m::crypto::dtls::{DtlsInstance, DtlsProvider, DtlsVersion, ProtocolVersion};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider,
    Sha1HmacProvider, Sha1Provider, Sha256Provider, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// The one provider of this process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        Arc::new(CryptoProvider {
            srtp_provider: &NoMedia,
            sha1_hmac_provider: &Hashes,
            sha1_provider: &Hashes,
            sha256_provider: &Hashes,
            dtls_provider: &DtlsFactory,
        })
    });
    Arc::clone(provider)
}

#[derive(Debug)]
struct Hashes;

/// A digest of a length that is known.
fn sized<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

impl Sha1HmacProvider for Hashes {
    /// What STUN asks for (RFC 8489, section 14.5).
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let mut context = hmac::Context::with_key(&key);
        for payload in payloads {
            context.update(payload);
        }
        sized(context.sign().as_ref())
    }
}

impl Sha1Provider for Hashes {
    fn sha1(&self, data: &[u8]) -> [u8; 20] {
        sized(digest(&SHA1_FOR_LEGACY_USE_ONLY, data).as_ref())
    }
}

impl Sha256Provider for Hashes {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        sized(digest(&SHA256, data).as_ref())
    }
}

#[derive(Debug)]
struct DtlsFactory;

impl DtlsProvider for DtlsFactory {
    /// One for each connection: by its fingerprint nobody is known again.
    fn generate_certificate(&self) -> Option<DtlsCertificate> {
        let key = rcgen::KeyPair::generate().ok()?;
        let certificate = rcgen::CertificateParams::default().self_signed(&key).ok()?;
        Some(DtlsCertificate {
            certificate: certificate.der().to_vec(),
            private_key: key.serialize_der(),
        })
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCertificate,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let refused = |what: &dyn core::fmt::Display| CryptoError::Other(what.to_string());
        // ICE has shown that the peer receives what we send: no cookie is needed.
        let mut builder = Config::builder().use_server_cookie(false);
        if let Some(mtu) = mtu {
            builder = builder.mtu(mtu);
        }
        let config = Arc::new(builder.build().map_err(|error| refused(&error))?);
        let certificate = certificate.clone();
        let dtls = match version {
            DtlsVersion::Dtls12 => Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => Dtls::new_13(config, certificate, now),
            DtlsVersion::Auto => Dtls::new_auto(config, certificate, now),
            other => return Err(refused(&format_args!("{other} is unknown here"))),
        };
        Ok(Box::new(Connection(dtls)))
    }
}

struct Connection(Dtls);

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Connection")
    }
}

impl DtlsInstance for Connection {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), Error> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> Output<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, Error> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.0.close()
    }
}

/// SRTP without ciphers. A handshake derives keys for sound and pictures even where there are none;
/// nothing is encrypted with them, and what a peer sends of the kind is refused.
#[derive(Debug)]
struct NoMedia;

impl SrtpProvider for NoMedia {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Self
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Self
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Self
    }

    fn srtp_aes_128_ecb_round(&self, _: &[u8], _: &[u8], _: &mut [u8]) {}

    fn srtp_aes_256_ecb_round(&self, _: &[u8], _: &[u8], _: &mut [u8]) {}
}

impl SupportedAes128CmSha1_80 for NoMedia {
    fn create_cipher(&self, _: [u8; 16], _: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes128Gcm for NoMedia {
    fn create_cipher(&self, _: [u8; 16], _: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes256Gcm for NoMedia {
    fn create_cipher(&self, _: [u8; 32], _: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Self)
    }
}

fn no_media() -> CryptoError {
    CryptoError::Other("no media is sent or taken here".to_owned())
}

impl Aes128CmSha1_80Cipher for NoMedia {
    fn encrypt(&mut self, _: &[u8; 16], _: &[u8], _: &mut [u8]) -> Result<(), CryptoError> {
        Err(no_media())
    }

    fn decrypt(&mut self, _: &[u8; 16], _: &[u8], _: &mut [u8]) -> Result<(), CryptoError> {
        Err(no_media())
    }
}

impl AeadAes128GcmCipher for NoMedia {
    fn encrypt(
        &mut self,
        _: &[u8; 12],
        _: &[u8],
        _: &[u8],
        _: &mut [u8],
    ) -> Result<(), CryptoError> {
        Err(no_media())
    }

    fn decrypt(
        &mut self,
        _: &[u8; 12],
        _: &[&[u8]],
        _: &[u8],
        _: &mut [u8],
    ) -> Result<usize, CryptoError> {
        Err(no_media())
    }
}

impl AeadAes256GcmCipher for NoMedia {
    fn encrypt(
        &mut self,
        _: &[u8; 12],
        _: &[u8],
        _: &[u8],
        _: &mut [u8],
    ) -> Result<(), CryptoError> {
        Err(no_media())
    }

    fn decrypt(
        &mut self,
        _: &[u8; 12],
        _: &[&[u8]],
        _: &[u8],
        _: &mut [u8],
    ) -> Result<usize, CryptoError> {
        Err(no_media())
    }
}
