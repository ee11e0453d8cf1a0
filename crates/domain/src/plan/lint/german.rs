//! How German asks, leads, and names what must not be named; with Sie and with du.

use super::wording::{Patterns, Topic};

pub(super) const PATTERNS: Patterns = Patterns {
    request: r"^(?:(?:und|nun|dann|also|zuerst|jetzt|bitte|noch)\b,? )*(?:(?:erzählen|beschreiben|erklären|nennen|schildern|berichten|erläutern|geben|führen|skizzieren|vergleichen|stellen) sie (?:mir|uns|bitte|kurz|eine?[nmrs]?|de[nrms]|die|das|von|ihre?[nmrs]?|wie|was|warum|wann|welche\w?)\b|(?:erzähle?|beschreibe?|erkläre?|nenne?|schildere?|berichte|erläutere|gib|vergleiche) (?:mir|uns|bitte|kurz|eine?[nmrs]?|de[nrms]|die|das|von|deine?[nmrs]?|wie|was)\b)|^(?:ich|wir) (?:würde|würden|möchte|möchten) (?:gerne? )?(?:hören|wissen|verstehen|erfahren)",
    joined: r"\b(?:und|oder|aber|sowie) (?:auch )?(?:wie|warum|weshalb|wieso|was|wann|wer|wem|wen|wo|wohin|woran|wodurch|womit|worauf|welche[mnrs]?)\b|\b(?:und|oder) (?:haben|hast|hat|hatten|würden|würdest|könnten|können|kannst|sind|bist|waren|werden|wollen|möchten|möchtest|gab|gibt) (?:sie|du|es|das|die|der)\b|\bund (?:bitte )?(?:erzählen|beschreiben|erklären|nennen|schildern|berichten|erläutern|geben) sie\b|\b(?:stärken und (?:ihre |deine )?schwächen|schwächen und (?:ihre |deine )?stärken)\b",
    leading: r"\bnicht wahr\b|, (?:oder|ja|richtig|gell|stimmt's)\?|(?:^|[.?!] )(?:finden|meinen|denken|glauben|sind|haben|wollen|würden) sie nicht\b|(?:^|[.?!] )(?:findest|meinst|denkst|glaubst|bist|hast|willst|würdest) du nicht\b|\b(?:sie|du) nicht auch\b|^(?:ist|wäre|sollte) (?:es|das|man) nicht\b|\bstimmen sie (?:mir |uns )?(?:zu|überein|darin)\b|\b(?:sicherlich|selbstverständlich|offensichtlich|zweifellos|natürlich)\b|\bwie (?:wir alle wissen|jeder weiß)\b|\bjeder weiß\b|\b(?:sie|du) (?:haben|hast|sind|bist|können|kannst|wissen|weißt|finden|findest|mögen|magst) (?:doch|ja|sicher|bestimmt)\b|\bdoch (?:sicher|bestimmt|wohl)\b|\bwie (?:gerne?|sehr) (?:mögen|lieben|hassen|genießen|magst|liebst|hasst|arbeiten|arbeitest)\b|\b(?:ich nehme an|wir nehmen an|ich gehe davon aus)\b",
    topics: &[
        (
            Topic::Age,
            r"\bwie alt (?:sind sie|bist du|waren sie|warst du)\b|\b(?:ihr|dein)(?:e[nmrs]?)? (?:alter|geburtsdatum|geburtsjahr|geburtstag)\b|\bgeburtsdatum\b|\bwann (?:sind|wurden) sie geboren\b|\bwann (?:bist|wurdest) du geboren\b|\b(?:wann|in welchem jahr) (?:haben sie|hast du)[^.?]*\b(?:abitur|schulabschluss|studium abgeschlossen|schule (?:beendet|abgeschlossen))\b|\b(?:in|zur|vor der) rente\b|\bruhestand\b|\b(?:sie|du|sich|dich) (?:\w+ )?zu (?:jung|alt)\b",
        ),
        (
            Topic::Origin,
            r"\bwoher (?:kommen|stammen) sie\b|\bwoher (?:kommst|stammst) du\b|\bwo (?:sind sie|wurden sie|bist du|wurdest du) geboren\b|\baus welchem land\b|\bstaatsangehörigkeit\b|\bstaatsbürger\w*\b|\bnationalität\b|\bgeburtsort\b|\bmuttersprach\w+\b|\bmigrationshintergrund\b|\b(?:ihr|dein)(?:e[nmrs]?)? (?:herkunft|akzent|abstammung|wurzeln|heimat(?:land)?)\b|\bseit wann leben sie in\b|\baufenthaltstitel\b",
        ),
        (
            Topic::Health,
            r"\b(?:schwer)?behinderung(?:en)?\b|\b(?:sind sie|bist du) (?:\w+ )?behindert\b|\bschwerbehindert\w*\b|\b\w*krankheit\w*\b|\berkrank\w+\b|\bkrank(?:geschrieben|schreibung\w*|e?ntage?n?|enstand|gemeldet)\b|\b(?:sind sie|waren sie|bist du|warst du)(?: \w+){0,4} krank\b|\bfehltage\b|\b(?:ihr|dein)(?:e[nmrs]?)? gesundheit\w*\b|\bgesundheitlich\w*\b|\bgesundheitszustand\b|\bpsychische[nmrs]? (?:gesundheit|probleme?|belastung|erkrankung)\b|\bmedikamente?n?\b|\b(?:ihr|dein)(?:e[nmrs]?)? therapie\b|\b(?:rauchen sie|rauchst du|trinken sie alkohol|trinkst du alkohol)\b",
        ),
        (
            Topic::Family,
            r"\bschwanger\w*\b|\bkinderwunsch\b|\bfamilienplanung\b|\belternzeit\b|\bmutterschutz\b|\bkinderbetreuung\b|\b(?:haben sie|hast du|wollen sie|willst du|möchten sie|möchtest du|planen sie|planst du) (?:\w+ )?(?:kinder|eine familie|nachwuchs)\b|\b(?:ihr|dein)(?:e[nmrs]?)? (?:kind|kinder|kindern|familie|ehe|ehemann|ehefrau|mann|frau|hochzeit|eltern|mutter|vater|freundin)\b|\blebenspartner\w*\b|\b(?:sind sie|bist du) (?:verheiratet|ledig|geschieden|alleinerziehend|verlobt|mutter|vater)\b|\bfamilienstand\b|\balleinerziehend\w*\b|\b(?:geburts|mädchen)name\b",
        ),
        (
            Topic::Home,
            r"\b(?:wohnen sie|wohnst du) (?:allein|zur miete)\b|\bmit wem (?:wohnen|leben) sie\b|\b(?:eigentumswohnung|eigenheim)\b",
        ),
        (
            Topic::SexOrOrientation,
            r"\b(?:ihr|dein)(?:e[nmrs]?)? (?:geschlecht\w*|sexuelle\w*)\b|\bsexuelle[nr]? (?:orientierung|identität)\b|\b(?:sind sie|bist du) (?:homosexuell|schwul|lesbisch|heterosexuell|trans\w*|eine frau|ein mann)\b|\bals (?:frau|mann|mutter|vater)\b",
        ),
        (
            Topic::Race,
            r"\bhautfarbe\b|\bethnische[nrs]? (?:herkunft|zugehörigkeit)\b|\b(?:ihr|dein)(?:e[nmrs]?)? (?:rasse|ethnie)\b",
        ),
        (
            Topic::Religion,
            r"\breligi\w+\b|\bkonfession\w*\b|\b(?:glauben sie|glaubst du) an\b|\b(?:ihr|dein)(?:e[nmrs]?)? glauben?s?\b|\bkirche(?:nsteuer|nmitglied\w*)?\b|\bmoschee\b|\bkopftuch\w*\b|\b(?:beten sie|betest du)\b|\bwelche feiertage\b",
        ),
        (
            Topic::PoliticsOrUnion,
            r"\bgewerkschaft\w*\b|\bpolitische[nrs]? (?:ansicht\w*|einstellung\w*|meinung\w*|überzeugung\w*|haltung)\b|\bwelche[rn]? partei\b|\bpartei(?:mitglied\w*|zugehörigkeit)\b|\bwen (?:haben|würden) sie (?:\w+ )?(?:ge)?wähl\w+\b",
        ),
        (
            Topic::CriminalRecord,
            r"\bvorbestraft\b|\bvorstrafen?\b|\bverhaftet\b|\bfestgenommen\b|\bgefängnis\b|\bführungszeugnis\b|\bstraftat\w*\b",
        ),
        (
            Topic::PayHistory,
            r"\b(?:aktuelle|derzeitige|bisherige|letzte|frühere|jetzige|vorige)[snrm]? (?:gehalt\w*|lohn|verdienst|einkommen|vergütung)\b|\bwie ?viel (?:verdienen|verdienten) sie\b|\bwie ?viel (?:verdienst|verdientest) du\b|\bwie ?viel (?:haben sie|hast du) [^.?]*\bverdient\b|\bwas (?:verdienen sie|verdienst du|haben sie (?:\w+ )?verdient)\b",
        ),
        (Topic::MilitaryService, r"\bunehrenhaft\w*\b|\b(?:wehr|zivil)dienst\w*\b|\baus der (?:bundeswehr|armee) entlassen\b"),
        (
            Topic::Appearance,
            r"\bwie (?:groß|schwer) (?:sind sie|bist du)\b|\bwie ?viel (?:wiegen sie|wiegst du)\b|\b(?:ihr|dein)(?:e[nmrs]?)? (?:körpergröße|körpergewicht|gewicht|aussehen)\b|\b(?:foto|bild) von (?:sich|ihnen|dir)\b",
        ),
    ],
    asking: None,
};
