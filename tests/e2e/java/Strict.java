import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URL;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A client as the interface document's users wrote theirs: Jackson's default mapper into classes of the documented
 * fields, over HttpURLConnection. An unknown key throws, and so does any status of 400 or more.
 */
public class Strict {
    public static class Answer {
        public int errorCode;
        public String errorMessage;
    }

    public static class Login extends Answer {
        public String token;
    }

    public static class Attachment {
        public String filename, type, sha256;
        public long size;
    }

    public static class Failure {
        public String code, detail;
    }

    public static class Message {
        public String id, username, method, to, subject, status, provider, provider_id, resend_of;
        public String created_at, updated_at;
        public Object content;
        public List<Attachment> attachments;
        public int attempts;
        public Integer segments;
        public Failure error;
    }

    public static class Query extends Answer {
        public List<Message> messages;
        public String next;
    }

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String NONE = "";

    private final String url;
    private int calls;
    private Map<String, List<String>> headers;

    Strict(String url) {
        this.url = url;
    }

    public static void main(String[] given) throws Exception {
        convictAKeyThatIsNotDocumented();
        Strict client = new Strict(given[0]);
        client.goThroughAllFive(given[1]);
        System.out.println(client.calls + " calls");
    }

    /** Shows that this client would notice: else going through proves nothing. */
    private static void convictAKeyThatIsNotDocumented() throws IOException {
        try {
            JSON.readValue("{\"errorCode\":0,\"errorMessage\":\"OK\",\"id\":\"1\"}", Answer.class);
        } catch (UnrecognizedPropertyException expected) {
            return;
        }
        throw new AssertionError("Jackson took a key that no class has");
    }

    private void goThroughAllFive(String name) throws Exception {
        String admin = logIn();
        register(admin, name);
        String user = call(Login.class, "/api/login", map("username", name, "password", "correct horse"), 0).token;
        modify(admin, user, name);
        String id = send(user);
        query(user, id);
        usedUp(admin, user, name);
    }

    private String logIn() throws Exception {
        call(Login.class, "/api/login", map("username", "没有此人", "password", "123456"), 10006);
        call(Login.class, "/api/login", map("username", "admin", "password", "wrong"), 10007);
        call(Login.class, "/api/login", map("username", "admin"), 10002);
        call(Login.class, "/api/login", map("username", "admin", "password", 5), 10017);
        check(header("X-IMSG-Reason").equals("wrong_type"), "the reason of 10017");
        check(header("X-IMSG-Detail").contains("password"), "the detail names the field");
        raw(Login.class, "POST", "/api/login", "{no json".getBytes(), 10001);
        Login login = call(Login.class, "/api/login", map("username", "admin", "password", "123"), 0);
        check(login.token != null, "a token");
        check(Integer.parseInt(header("X-IMSG-Expires-In")) > 0, "X-IMSG-Expires-In");
        return login.token;
    }

    private void register(String admin, String name) throws Exception {
        Map<String, Object> user = map("token", admin, "username", name, "password", "correct horse");
        String email = "li.wei" + System.nanoTime() + "@example.com";
        user.put("email", email);
        user.put("department", "研发");
        call(Answer.class, "/api/register", user, 0);
        check(header("X-IMSG-Ignored").equals("department"), "what was ignored");
        call(Answer.class, "/api/register", user, 10004);
        call(Answer.class, "/api/register", map("token", admin, "username", name + "2", "password", "correct horse",
            "email", email), 10003);
        call(Answer.class, "/api/register", map("token", admin, "username", name), 10002);
    }

    private void modify(String admin, String user, String name) throws Exception {
        String path = "/api/modify/" + URLEncoder.encode(name, "UTF-8");
        call(Answer.class, path, map("token", admin, "per_day", 20, "per_hour", 8, "available", true), 0);
        call(Answer.class, path, map("token", admin, "per_day", "20", "per_hour", 8), 10017);
        call(Answer.class, path, map("token", user, "per_day", 20, "per_hour", 8), 10016);
        call(Answer.class, "/api/modify/nobody", map("token", admin, "per_day", 20, "per_hour", 8), 10006);
        call(Answer.class, "/api/modify", map("token", admin), 10001);
        raw(Answer.class, "GET", path, null, 10001);
    }

    private String send(String user) throws Exception {
        byte[] file = "会议纪要\n".repeat(99).getBytes(StandardCharsets.UTF_8);
        Map<String, Object> attachment = map("filename", "纪要.txt", "file", Base64.getMimeEncoder().encodeToString(file));
        Map<String, Object> content = map("subject", "hello", "text", "您好");
        Map<String, Object> mail = map("token", user, "to", "zhang@163.com", "method", "smtp", "content", content);
        mail.put("attachment", attachment);
        call(Answer.class, "/api/send", mail, 0);
        String id = header("X-IMSG-Id");
        check(header("X-IMSG-Count").equals("1"), "X-IMSG-Count");
        call(Answer.class, "/api/send/", with(mail, "to", Arrays.asList("li@example.com", "wang@example.com")), 0);
        Map<String, Object> text = map("token", user, "to", "13800138000", "method", "sms", "content", "明天下雨");
        call(Answer.class, "/api/send", text, 0);
        check(header("X-IMSG-Segments").equals("1"), "X-IMSG-Segments");
        call(Answer.class, "/api/send", with(mail, "token", null), 10002);
        call(Answer.class, "/api/send", with(mail, "token", "forged"), 10005);
        call(Answer.class, "/api/send", with(mail, "method", "fax"), 10008);
        call(Answer.class, "/api/send", with(mail, "content", "您好"), 10009);
        call(Answer.class, "/api/send", with(mail, "attachment", map("filename", "a", "file", "?")), 10010);
        call(Answer.class, "/api/send", with(mail, "to", "nobody at all"), 10011);
        call(Answer.class, "/api/send", with(text, "method", "wechat", "to", "7K3-M9Q-2XH", "account", "nobody"), 10015);
        raw(Answer.class, "POST", "/api/send", new byte[17 * 1024 * 1024], 10001);
        raw(Answer.class, "GET", "/api/send", null, 10001);
        return id;
    }

    private void query(String user, String id) throws Exception {
        String path = "/api/query?token=" + URLEncoder.encode(user, "UTF-8");
        Query found = raw(Query.class, "GET", path, null, 0);
        long patience = System.nanoTime() + 30_000_000_000L;
        while (found.messages.size() < 4 && System.nanoTime() < patience) {
            Thread.sleep(100);
            found = raw(Query.class, "GET", path, null, 0);
        }
        check(found.messages.size() == 4, "four messages");
        check(found.next == null, "one page");
        Query one = raw(Query.class, "GET", path + "&limit=1&id=" + id, null, 0);
        check(one.messages.get(0).attachments.get(0).filename.equals("纪要.txt"), "the attachment's name");
        raw(Query.class, "GET", path + "&limit=0", null, 10017);
        raw(Query.class, "GET", path + "&method=fax", null, 10008);
        raw(Query.class, "GET", path + "&username=admin", null, 10016);
        raw(Query.class, "GET", "/api/query", null, 10002);
        raw(Query.class, "GET", "/api/query?token=x", null, 10005);
        raw(Query.class, "DELETE", "/api/query", null, 10001);
    }

    private void usedUp(String admin, String user, String name) throws Exception {
        String path = "/api/modify/" + URLEncoder.encode(name, "UTF-8");
        Map<String, Object> content = map("subject", "hello", "text", "您好");
        Map<String, Object> mail = map("token", user, "to", "zhang@163.com", "method", "smtp", "content", content);
        call(Answer.class, path, map("token", admin, "per_day", 20, "per_hour", 0), 0);
        call(Answer.class, "/api/send", mail, 10013);
        check(Integer.parseInt(header("Retry-After")) > 0, "Retry-After");
        call(Answer.class, path, map("token", admin, "per_day", 20, "per_hour", 5, "available", false), 0);
        Answer off = call(Answer.class, "/api/send", mail, 10016);
        check(off.errorMessage.equals("见详情：" + header("X-IMSG-Detail")), "10016 holds its detail");
    }

    private <A extends Answer> A call(Class<A> as, String path, Map<String, Object> body, int code) throws Exception {
        return raw(as, "POST", path, JSON.writeValueAsBytes(body), code);
    }

    private <A extends Answer> A raw(Class<A> as, String verb, String path, byte[] body, int code) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(url + path).openConnection();
        connection.setRequestMethod(verb);
        if (body != null) {
            connection.setDoOutput(true);
            connection.setFixedLengthStreamingMode(body.length);
            connection.getOutputStream().write(body);
        }
        A answer = JSON.readValue(connection.getInputStream(), as);
        headers = connection.getHeaderFields();
        calls++;
        check(answer.errorCode == code, verb + " " + path + " answered " + answer.errorCode + " instead of " + code + ", "
            + header("X-IMSG-Detail"));
        return answer;
    }

    private String header(String name) throws Exception {
        for (Map.Entry<String, List<String>> each : headers.entrySet()) {
            if (name.equalsIgnoreCase(each.getKey())) {
                return URLDecoder.decode(each.getValue().get(0), "UTF-8");
            }
        }
        return NONE;
    }

    private static Map<String, Object> map(Object... pairs) {
        Map<String, Object> made = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            made.put((String) pairs[i], pairs[i + 1]);
        }
        return made;
    }

    private static Map<String, Object> with(Map<String, Object> fields, Object... pairs) {
        Map<String, Object> made = new HashMap<>(fields);
        made.putAll(map(pairs));
        return made;
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
