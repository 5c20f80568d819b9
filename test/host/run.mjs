// `npm run test:host`: bundles the suites, then runs them (launch.ts says how).
import '../../scripts/build-host-tests.mjs';

await import('../../dist/host-tests/launch.mjs');
