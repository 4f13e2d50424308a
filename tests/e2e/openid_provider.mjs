// A real OpenID provider for the tests: npm's oidc-provider, with its own development pages for
// signing in. Started by openid_provider.py; says "ready" when it listens.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const settings = JSON.parse(process.env.OPENID_PROVIDER);
const library = pathToFileURL(`${settings.programs}/node_modules/oidc-provider/lib/index.js`);
const { default: Provider } = await import(library.href);

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'k1' };

function claimsOf(sub) {
  const { email, groups } = settings.accounts[sub];
  return { sub, preferred_username: sub, groups, email, email_verified: true };
}

const provider = new Provider(settings.issuer, {
  jwks: { keys: [key] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  clients: settings.clients,
  claims: {
    openid: ['sub'],
    profile: ['preferred_username', 'groups'],
    email: ['email', 'email_verified'],
  },
  conformIdTokenClaims: false, // the claims of the scopes stand in the ID token itself
  enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
  pkce: { required: () => true },
  scopes: ['openid', 'profile', 'email'],
  features: {
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo(_ctx, resource) {
        if (resource !== settings.audience) throw new Error(`no such resource: ${resource}`);
        return {
          scope: '',
          audience: settings.audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'ES256' } },
        };
      },
    },
  },
  async findAccount(_ctx, sub) {
    if (!(sub in settings.accounts)) return undefined;
    return { accountId: sub, claims: async () => claimsOf(sub) };
  },
  async extraTokenClaims(_ctx, token) {
    return { ...claimsOf(token.accountId), azp: token.clientId };
  },
});

provider.on('server_error', (_ctx, error) => console.error(error));
provider.listen(settings.port, '127.0.0.1', () => console.log('ready'));
