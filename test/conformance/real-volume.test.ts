import { CASES } from './cases';
import { agreesOn } from './full-width';

agreesOn(CASES.filter(({ files }) => files));
