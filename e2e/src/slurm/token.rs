//! Tokens of a Slurm cluster, signed with its own key: what `scontrol token` would make, without a slurmctld to
//! ask and with any life. Used by `slurm` for its token file and for tokens that a suite wants to be bad.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Bytes that SHA-256 takes at once.
const BLOCK: usize = 64;

/// A JSON web token of `user`, made at `now` and good for `life`.
pub fn mint(key: &[u8], user: &str, now: SystemTime, life: Duration) -> Result<String> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let claims = json!({"iat": now, "exp": now + life.as_secs(), "sun": user});
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let head = encode(json!({"alg": "HS256", "typ": "JWT"}).to_string().as_bytes());
    let signed = format!("{head}.{}", encode(claims.to_string().as_bytes()));
    let signature = encode(&hmac(key, signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}

/// HMAC-SHA256 of RFC 2104, for keys of at most one block.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    debug_assert!(key.len() <= BLOCK, "longer keys would have to be hashed first");
    let pad = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text);
    let outer = Sha256::new().chain_update(pad(0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        assert_eq!(
            hex(&hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&hmac(&[0x0b; 20], b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn a_token_says_whose_it_is_and_how_long() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let token = mint(b"key", "games", now, Duration::from_secs(60)).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims, json!({"iat": 1000, "exp": 1060, "sun": "games"}));
        assert_ne!(
            token,
            mint(b"another", "games", now, Duration::from_secs(60)).unwrap()
        );
    }
}
