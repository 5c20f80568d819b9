import { expect, it } from 'vitest';
import { tensorflowEnvironment, tensorflowPlaces } from '../../../src/protocol/tensorflow';

it('another process is told the same places through its environment', () => {
  const places = { named: '/named', storage: '/storage', workspaces: ['/one', '/two words'] };
  expect(tensorflowPlaces(tensorflowEnvironment(places))).toEqual(places);
});

it('what is not known overwrites nothing that the environment says', () => {
  expect(tensorflowEnvironment({ workspaces: [] })).toEqual({});
  expect(tensorflowPlaces({ FCD_TENSORFLOW_PATH: '  ', FCD_TENSORFLOW_WORKSPACES: '\n' })).toEqual({
    named: undefined,
    storage: undefined,
    workspaces: undefined,
  });
});
