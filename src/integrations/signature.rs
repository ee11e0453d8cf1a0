//! Signatures between our own processes, with the secret that they share.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};

/// Hexadecimal. `message` begins with what it is for, so that no signature serves two purposes.
pub fn sign(secret: &SecretString, message: &str) -> String {
    HEXLOWER.encode(hmac::sign(&key(secret), message.as_bytes()).as_ref())
}

/// Compared in constant time.
pub fn verify(secret: &SecretString, message: &str, signature: &str) -> bool {
    HEXLOWER.decode(signature.as_bytes()).is_ok_and(|tag| hmac::verify(&key(secret), message.as_bytes(), &tag).is_ok())
}

fn key(secret: &SecretString) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes())
}
