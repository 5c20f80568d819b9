import { CASES } from './cases';
import { agreesOn } from './full-width';

agreesOn(CASES.filter(({ arch, thorough, files }) => arch !== 'resnet50' && !thorough && !files));
