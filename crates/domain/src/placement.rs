//! Where an interview's machine is requested, and how large it is.
//!
//! The tenant's policy says where machines may be: region codes, aliases such as `eu`, or `any`. Within the policy the
//! candidate's nearest region comes first, then its neighbours, then the rest in the policy's order. A region that has just
//! lost a machine comes last.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Fly's regions, each with the aliases it belongs to, the narrowest first.
const REGIONS: [(&str, &[&str]); 18] = [
    ("ams", &["eu"]),
    ("arn", &["eu"]),
    ("bom", &["apac"]),
    ("cdg", &["eu"]),
    ("dfw", &["us", "usa", "na"]),
    ("ewr", &["us", "usa", "na"]),
    ("fra", &["eu"]),
    ("gru", &["sa"]),
    ("iad", &["us", "usa", "na"]),
    ("jnb", &[]),
    ("lax", &["us", "usa", "na"]),
    ("lhr", &["eu"]),
    ("nrt", &["apac"]),
    ("ord", &["us", "usa", "na"]),
    ("sin", &["apac"]),
    ("sjc", &["us", "usa", "na"]),
    ("syd", &["apac"]),
    ("yyz", &["na"]),
];
const ALIASES: [&str; 6] = ["us", "usa", "eu", "na", "sa", "apac"];
const ANYWHERE: &str = "any";

/// One of Fly's regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    code: &'static str,
    aliases: &'static [&'static str],
}

impl Region {
    /// None for a region that no machine can be asked for in.
    pub fn named(code: &str) -> Option<Self> {
        REGIONS.iter().find(|(known, _)| *known == code).map(|&(code, aliases)| Self { code, aliases })
    }

    pub fn as_str(self) -> &'static str {
        self.code
    }

    /// Whether `place`, a code or an alias, is or holds this region or one in its neighbourhood.
    fn is_near(self, place: &str) -> bool {
        let neighbours = Self::named(place).map_or(&[][..], |other| other.aliases);
        self.code == place || self.aliases.contains(&place) || neighbours.iter().any(|alias| self.aliases.contains(alias))
    }
}

/// Where a tenant's machines may be. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(Vec<String>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a region, alias or \"any\": {0:?}")]
pub struct UnknownPlace(pub String);

impl FromStr for Policy {
    type Err = UnknownPlace;

    fn from_str(text: &str) -> Result<Self, UnknownPlace> {
        let mut places: Vec<String> = Vec::new();
        for place in text.split(',').map(str::trim).filter(|place| !place.is_empty()) {
            if Region::named(place).is_none() && !ALIASES.contains(&place) && place != ANYWHERE {
                return Err(UnknownPlace(place.to_owned()));
            }
            if !places.iter().any(|known| known == place) {
                places.push(place.to_owned());
            }
        }
        if places.is_empty() { Err(UnknownPlace(text.to_owned())) } else { Ok(Self(places)) }
    }
}

impl Policy {
    fn allows(&self, region: Region) -> bool {
        self.0.iter().any(|place| place == ANYWHERE || place == region.code || region.aliases.contains(&place.as_str()))
    }

    /// What to ask Fly for, try after try: all allowed places by preference (Fly tries them in
    /// order by itself), then without the first, then the last alone. `near`: where the
    /// candidate is.
    pub fn tries(&self, near: Option<Region>, lost_in: Option<Region>) -> Vec<String> {
        let anywhere = self.0.iter().any(|place| place == ANYWHERE);
        let mut places: Vec<&str> = self.0.iter().map(String::as_str).filter(|place| *place != ANYWHERE).collect();
        // Whose machine was in a region is near its neighbours.
        if let Some(near) = near.or(lost_in) {
            places.sort_by_key(|place| !near.is_near(place));
            if let Some(alias) = near.aliases.first().filter(|alias| anywhere && !places.contains(alias)) {
                let neighbours = places.iter().take_while(|place| near.is_near(place)).count();
                places.insert(neighbours, alias);
            }
            if self.allows(near) {
                places.retain(|place| *place != near.code);
                places.insert(0, near.code);
            }
        }
        if let Some(lost) = lost_in {
            places = avoiding(&places, lost, anywhere);
        }
        if anywhere {
            places.push(ANYWHERE);
        }
        let mut tries: Vec<String> =
            [0, 1, places.len() - 1].into_iter().filter_map(|from| Some(places.get(from..)?.join(","))).collect();
        tries.retain(|places| !places.is_empty());
        tries.dedup();
        tries
    }
}

/// The region comes last, and an alias that holds it after its other members.
fn avoiding<'a>(places: &[&'a str], lost: Region, anywhere: bool) -> Vec<&'a str> {
    let mut rest: Vec<&str> = Vec::new();
    for place in places.iter().filter(|place| **place != lost.code) {
        if lost.aliases.contains(place) {
            let members = REGIONS.iter().filter(|(code, aliases)| *code != lost.code && aliases.contains(place));
            rest.extend(members.map(|(code, _)| *code));
        }
        rest.push(place);
    }
    // Where anything goes, the last word covers it too.
    if !anywhere && places.contains(&lost.code) {
        rest.push(lost.code);
    }
    let mut once: Vec<&str> = Vec::new();
    rest.retain(|place| {
        let first = !once.contains(place);
        once.push(place);
        first
    });
    rest
}

/// How much an interview matters to who asked for it; the size of its machine follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    #[default]
    Standard,
    High,
    Critical,
}

impl Importance {
    pub const ALL: [Self; 3] = [Self::Standard, Self::High, Self::Critical];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|importance| importance.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tries(policy: &str, near: Option<&str>, lost: Option<&str>) -> Vec<String> {
        let region = |code: &str| Region::named(code).expect("a region");
        policy.parse::<Policy>().expect("a policy").tries(near.map(region), lost.map(region))
    }

    #[test]
    fn the_nearest_region_comes_first_then_its_neighbours_then_the_policys_order() {
        assert_eq!(tries("any", Some("nrt"), None), ["nrt,apac,any", "apac,any", "any"]);
        assert_eq!(tries("iad,ord,fra,any", Some("lhr"), None)[0], "lhr,fra,eu,iad,ord,any");
        assert_eq!(tries("iad,ord,fra", Some("ord"), None), ["ord,iad,fra", "iad,fra", "fra"]);
        assert_eq!(tries("any", None, None), ["any"]);
        assert_eq!(tries("any", Some("jnb"), None), ["jnb,any", "any"]);
    }

    #[test]
    fn a_policy_is_never_left_not_even_when_it_is_full_or_far_away() {
        assert_eq!(tries("iad,ord", Some("nrt"), None), ["iad,ord", "ord"]);
        assert_eq!(tries("eu", Some("fra"), None), ["fra,eu", "eu"]);
        assert_eq!(tries("eu", Some("iad"), None), ["eu"]);
    }

    #[test]
    fn the_region_that_lost_a_machine_comes_last_and_its_neighbours_first() {
        assert_eq!(tries("iad,ord,fra", None, Some("iad"))[0], "ord,fra,iad");
        assert_eq!(tries("any", None, Some("nrt")), ["bom,sin,syd,apac,any", "sin,syd,apac,any", "any"]);
        assert_eq!(tries("eu", Some("fra"), Some("fra"))[0], "ams,arn,cdg,lhr,eu,fra");
        assert_eq!(tries("iad", None, Some("iad")), ["iad"]);
        assert_eq!(tries("any", None, Some("jnb")), ["any"]);
    }

    #[test]
    fn what_is_no_region_is_named() {
        assert_eq!("iad,mars".parse::<Policy>(), Err(UnknownPlace("mars".into())));
        assert_eq!(" , ".parse::<Policy>(), Err(UnknownPlace(" , ".into())));
        assert!("us, eu ,any,eu".parse::<Policy>().is_ok_and(|policy| policy.0 == ["us", "eu", "any"]));
        assert_eq!(
            (Region::named("iad").map(Region::as_str), Region::named("IAD"), Region::named("eu")),
            (Some("iad"), None, None)
        );
    }

    proptest! {
        #[test]
        fn every_try_stays_within_the_policy_and_all_of_it_is_tried(
            places in prop::collection::vec(0usize..25, 1..6), near in prop::option::of(0usize..18), lost in prop::option::of(0usize..18)
        ) {
            let names: Vec<&str> = REGIONS.iter().map(|(code, _)| *code).chain(ALIASES).chain([ANYWHERE]).collect();
            let policy: Policy = places.iter().map(|at| names[*at]).collect::<Vec<_>>().join(",").parse().expect("a policy");
            let region = |at: usize| Region::named(REGIONS[at].0).expect("a region");
            let tries = policy.tries(near.map(region), lost.map(region));
            let anywhere = policy.0.iter().any(|place| place == ANYWHERE);
            for place in tries[0].split(',') {
                let allowed = policy.0.iter().any(|known| known == place) || Region::named(place).is_some_and(|r| policy.allows(r));
                prop_assert!(anywhere || allowed, "{place} of {tries:?} is outside of {policy:?}");
            }
            for place in policy.0.iter().filter(|place| !anywhere || lost.is_none_or(|at| REGIONS[at].0 != **place)) {
                prop_assert!(tries[0].split(',').any(|tried| tried == place), "{place} is not in {tries:?}");
            }
        }
    }
}
