//! How English asks, leads, and names what must not be named.

use super::wording::{Patterns, Topic};

pub(super) const PATTERNS: Patterns = Patterns {
    request: r"^(?:(?:and|now|then|so|next|first|also|finally|please|ok|okay)\b,? )*(?:(?:tell|walk|talk) (?:me|us)|describe|explain|share|name|list|outline|compare|summari[sz]e|give (?:me|us|an?)\b)|^(?:i|we)(?:'d| would) (?:like|love) (?:to (?:hear|know|understand)|you to)",
    joined: r"\b(?:and|or|but|as well as) (?:also )?(?:how|why|what|when|where|which|who|whom|whose)\b|\b(?:and|or) (?:did|do|does|would|could|can|will|have|has|had|are|is|was|were|should) (?:you|your|it|they|that|this|he|she|we|there|the)\b|\band (?:please |then |also )?(?:(?:tell|walk|talk|give) (?:me|us)|(?:describe|explain|share) (?:how|what|why|your|its|the result))\b|\b(?:strengths? and (?:your )?weakness\w*|weakness\w* and (?:your )?strengths?)\b|^what (?:is|are|was|were) your \w+ and (?:your )?\w+\?",
    leading: r"(?:^|[,.?!] )(?:do|would|did|are|is|was|have|could|should)n't (?:you|it|we|that|this|they)\b|, (?:right|correct|yes)\?|\bisn't it\b|\b(?:obviously|of course|surely|no doubt|undoubtedly)\b|^(?:clearly|naturally),|\b(?:i|we) (?:assume|suppose|expect) (?:that )?you\b|\b(?:i am|i'm|we are|we're) sure you\b|\b(?:do|would) you (?:not )?agree\b|\bas (?:we all|everyone|everybody) knows?\b|\b(?:everyone|everybody) knows\b|\bhow much (?:do|did|would) you (?:love|enjoy|like|hate|dislike)\b|\byou must (?:have|be|feel|find)\b|\byou (?:really )?(?:do|did) (?:like|enjoy|want|believe)\b",
    topics: &[
        (
            Topic::Age,
            r"\bhow old (?:are|were) you\b|\b(?:your|current) age\b|\bdate of birth\b|\byour birth ?(?:day|date|year)\b|\b(?:when|what year|which year) were you born\b|\bwhen did you (?:graduate|finish (?:high )?school)\b|\b(?:what|which) year did you (?:graduate|finish)\b|\byear of (?:birth|graduation)\b|\byou (?:plan|planning|want|intend) to retire(?:[?.]|$)|\bwhen (?:do|will) you retire\b|\byour retirement\b|\bpeople your age\b|\b(?:you|feel|you're|yourself) too (?:young|old)\b|\bdigital native\b",
        ),
        (
            Topic::Origin,
            r"\bwhere (?:are you|do you come)(?: originally)? from\b|\bwhere are you originally from\b|\bwhere were you born\b|\b(?:which|what) country (?:are|do|were) you\b|\bcitizenship\b|\b(?:are|were) you an? (?:\w+ )?citizen\b|\bbirthplace\b|\bplace of birth\b|\bnationality\b|\bnational origin\b|\byour ancest(?:ry|ors?)\b|\byour (?:accent|heritage|roots)\b|\b(?:native|first) (?:language|tongue|speaker)\b|\bmother tongue\b|\bhow long have you lived in\b|\bimmigra\w+\b",
        ),
        (
            Topic::Health,
            r"\bdisabilit\w+\b|\b(?:are|were) you (?:\w+ )?(?:disabled|ill|sick)\b|\bhandicap\w*\b|\b(?:illness|disease)\w*\b|\b(?:medical|health) (?:condition|history|leave|problem|issue)s?\b|\bmental health\b|\byour (?:physical |own )?health(?:[?.,]|$| (?:is|was|status|history|good|allows?|insurance)\b)|\bmedications?\b|\bsick (?:leave|days?)\b|\bworkers'? comp\w*\b|\bdiagnosed with\b|\byour therap\w+\b|\bgenetic (?:tests?|information|conditions?)\b|\bdo you (?:smoke|drink alcohol)\b|\bhospitali[sz]ed\b",
        ),
        (
            Topic::Family,
            r"\bpregnan\w+\b|\b(?:maternity|paternity|parental) leave\b|\bchild ?care\b|\b(?:have|having|want|planning|any|your) (?:\w+ )?(?:children|kids?|child)\b|\byour (?:family|husband|wife|spouse|marriage|wedding|boyfriend|girlfriend|mother|father|parents)\b|\bare you (?:married|single|engaged|divorced|a (?:parent|mother|father))\b|\bmarital status\b|\bstart(?:ing)? a family\b|\bfamily plan\w*\b|\bmaiden name\b|\bsingle (?:mother|father|parent)\b",
        ),
        (
            Topic::Home,
            r"\b(?:own|rent) (?:your|a) (?:home|house|flat|apartment)\b|\bwho do you live with\b|\bdo you live alone\b",
        ),
        (
            Topic::SexOrOrientation,
            r"\byour (?:gender|sex|sexual\w*|pronouns)\b|\bsexual orientation\b|\bgender identity\b|\bare you (?:a )?(?:man|woman|male|female|gay|lesbian|straight|bisexual|trans\w*)\b|\bas a (?:woman|man|mother|father)\b",
        ),
        (
            Topic::Race,
            r"\byour (?:race|ethnic\w*)\b|\bskin colou?r\b|\bare you (?:black|white|asian|hispanic|latin[oax]|african)\b|\bethnicity\b",
        ),
        (
            Topic::Religion,
            r"\breligio\w+\b|\byour (?:faith|church|mosque|temple)\b|\bdo you (?:pray|believe in god|go to church)\b|\b(?:which|what) (?:religious )?holidays\b|\bsabbath\b",
        ),
        (
            Topic::PoliticsOrUnion,
            r"\byour politic\w+\b|\bpolitical (?:views?|party|parties|opinions?|beliefs?|affiliation)\b|\bwho (?:did|do|will|would) you vote\b|\bdid you vote\b|\b(?:trade|labou?r) unions?\b|\bunion member\w*\b|\bmember of a union\b",
        ),
        (
            Topic::CriminalRecord,
            r"\barrest\w*\b|\bconvicted\b|\bcriminal (?:record|history|background|conviction)s?\b|\bin (?:jail|prison)\b",
        ),
        (
            Topic::PayHistory,
            r"\b(?:current|previous|last|past|present|former) (?:salary|pay|wages?|compensation|income)\b|\bsalary history\b|\bhow much (?:do|did) you (?:currently )?(?:earn|make)\b|\bhow much (?:are|were) you paid\b|\bwhat (?:do|did) you (?:currently )?earn\b",
        ),
        (
            Topic::MilitaryService,
            r"\bmilitary (?:discharge|service|record)\b|\bdishonou?rabl\w+\b|\bdischarged from the (?:army|navy|air force|military|service)\b|\bare you a veteran\b",
        ),
        (
            Topic::Appearance,
            r"\byour (?:height|weight|appearance|looks)\b|\bhow (?:tall|heavy) are you\b|\bhow much do you weigh\b|\b(?:photo|picture) of (?:you|yourself)\b",
        ),
    ],
    asking: None,
};
