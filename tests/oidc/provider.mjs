// An OpenID provider on the loopback: `node provider.mjs FOLDER JSON`, FOLDER holds node_modules.
// It prints its port. Whoever logs in as NAME is NAME, with the groups that JSON gives them.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [folder, given] = process.argv.slice(2);
const { Provider } = await import(
  pathToFileURL(`${folder}/node_modules/oidc-provider/lib/index.js`)
);
const asked = JSON.parse(given);
const server = createServer();
server.listen(asked.port ?? 0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: asked.clients,
    pkce: { required: () => true },
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    conformIdTokenClaims: asked.userinfo ?? true,
    cookies: { keys: ['of a test'] },
    findAccount: (context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, groups: asked.groups[id] ?? [] }),
    }),
  });
  server.on('request', provider.callback());
  console.log(port);
});
