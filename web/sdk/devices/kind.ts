import type { MicrophoneKind } from '../types';

/** At the mouth: headsets, earphones and what hangs on them. In the languages of the systems that name them. */
const NEAR =
  /head-?(set|phone)|ear-?(phone|bud|pod|pods)|air-?pods|\bbuds\b|hands-?free|lavalier|kopfhörer|ohrhörer|casque|écouteur|auricular|cuffie|fone de ouvido|наушник|гарнитур|ヘッドセット|ヘッドホン|イヤホン|耳机|耳機|헤드셋|이어폰|سماعة/iu;
/** Across the room: in a laptop, a screen, a webcam or a conference device. */
const FAR =
  /built-?in|internal|integrated|array|laptop|macbook|imac|display|monitor|web-?cam|camera|speaker-?phone|conference|eingebaut|intern|intégré|integrad|integrat|встроен|内蔵|内置|內建|내장/iu;

/** What its name says; `null`: nothing. A headset that calls itself internal is a headset. */
export function microphoneKind(label: string): MicrophoneKind | null {
  if (NEAR.test(label)) return 'near';
  return FAR.test(label) ? 'far' : null;
}
