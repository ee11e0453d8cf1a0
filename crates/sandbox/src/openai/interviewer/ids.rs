//! Identifiers in the vendor's form: a prefix and 21 letters or digits.

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Made from a seed, so that a test sees the same ids each time.
#[derive(Debug)]
pub struct Ids {
    state: u64,
}

impl Ids {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn next(&mut self, prefix: &str) -> String {
        self.text(prefix, 21)
    }

    /// The vendor keeps these short: clients must echo them in at most 32 characters.
    pub fn call(&mut self) -> String {
        self.text("call_", 16)
    }

    fn text(&mut self, prefix: &str, length: usize) -> String {
        let mut id = String::with_capacity(prefix.len() + length);
        id.push_str(prefix);
        for _ in 0..length {
            id.push(char::from(ALPHABET[(self.random() % 62) as usize]));
        }
        id
    }

    /// SplitMix64: not for secrets, only for names.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
