// pgjdbc with its defaults: prepared by name from the fifth time on.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** The contract of the driver programs (../README.md) and its cases. */
public class Main {
  static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
  static final BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

  /** Something that may fail. */
  interface Work<T> {
    T run() throws Exception;
  }

  public static void main(String[] args) throws Exception {
    say("driver", "pgjdbc", "version", org.postgresql.util.DriverInfo.DRIVER_VERSION);
    for (String line; (line = in.readLine()) != null; ) {
      try {
        new Main(line).use();
      } catch (Exception e) {
        say("case", "connect", "failed", e.toString());
      }
      out.println("{\"end\": true}");
    }
  }

  static synchronized void say(String... pairs) {
    StringBuilder b = new StringBuilder("{");
    for (int i = 0; i < pairs.length; i += 2) {
      b.append(i == 0 ? "" : ", ").append(quote(pairs[i])).append(": ").append(quote(pairs[i + 1]));
    }
    out.println(b.append("}"));
  }

  static String quote(String s) {
    StringBuilder b = new StringBuilder("\"");
    for (char c : s.toCharArray()) {
      if (c == '"' || c == '\\') {
        b.append('\\').append(c);
      } else if (c < ' ') {
        b.append(String.format("\\u%04x", (int) c));
      } else {
        b.append(c);
      }
    }
    return b.append('"').toString();
  }

  static void awaitRunning(String mark) throws Exception {
    say("await", mark);
    in.readLine();
  }

  /** What the names of the cases begin with that the present target is for. */
  static String only = "";

  static void aCase(String name, Work<Object> run) {
    if (only.isEmpty() ? name.equals("cut") : !name.startsWith(only)) {
      return;
    }
    try {
      say("case", name, "result", String.valueOf(run.run()));
    } catch (Exception e) {
      say("case", name, "failed", e.toString());
    }
  }

  final String target;
  final String table;
  final String user;
  final Connection c;

  Main(String target) throws Exception {
    this.target = target;
    table = field("table");
    only = field("cases");
    user = field("user");
    Properties p = new Properties();
    p.setProperty("user", user);
    p.setProperty("password", field("password"));
    p.setProperty("sslmode", field("sslmode"));
    if (!field("sslrootcert").isEmpty()) {
      p.setProperty("sslrootcert", field("sslrootcert"));
    }
    c = DriverManager.getConnection("jdbc:postgresql://" + field("host") + ":" + field("port") + "/" + field("database"), p);
  }

  /** A field of the target, whose values hold nothing that JSON escapes. */
  String field(String name) {
    Matcher m = Pattern.compile("\"" + name + "\":\\s*\"?([^\",}]*)").matcher(target);
    return m.find() ? m.group(1) : "";
  }

  static String code(Work<Object> work) throws Exception {
    try {
      work.run();
    } catch (SQLException e) {
      return e.getSQLState();
    }
    return "no error";
  }

  /** The one value of a query, with its parameters. */
  String value(String sql, Object... values) throws SQLException {
    try (PreparedStatement s = c.prepareStatement(sql)) {
      for (int i = 0; i < values.length; i++) {
        s.setObject(i + 1, values[i]);
      }
      try (ResultSet r = s.executeQuery()) {
        r.next();
        return r.getString(1);
      }
    }
  }

  String one() throws SQLException {
    return value("SELECT ?::int", 1);
  }

  /** Does first and then within a transaction, which is rolled back, and returns what then says. */
  String inTransaction(Work<String> then, Work<Object> first) throws Exception {
    c.setAutoCommit(false);
    try {
      one();
      first.run();
      String said = then.run();
      c.rollback();
      return said;
    } finally {
      c.setAutoCommit(true);
    }
  }

  Object execute(String sql) throws SQLException {
    try (Statement s = c.createStatement()) {
      return s.execute(sql);
    }
  }

  void use() throws Exception {
    aCase("connect", () -> value("SELECT current_user || ' ' || current_database() || ' ' || current_setting('server_version_num')::int / 10000"));
    aCase("query", this::query);
    aCase("parameters", this::parameters);
    aCase("prepared", this::prepared);
    aCase("many", this::many);
    aCase("transaction", this::transaction);
    aCase("error", this::errors);
    aCase("pipeline", this::pipeline);
    aCase("copy", this::copy);
    aCase("cursor", this::cursor);
    aCase("big", this::big);
    aCase("cancel", () -> cancelled(user + "_c") + " " + cancelled(user + "_c") + " " + one());
    aCase("cancel in a transaction", this::cancelInTransaction);
    aCase("cancel prepared", this::cancelPrepared);
    aCase("cancel idle", this::cancelIdle);
    aCase("timeout", this::timeout);
    aCase("cut", this::cut);
    aCase("servers", this::servers);
    c.close();
  }

  Object query() throws SQLException {
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("SELECT 1, 'two', NULL::text, 'gr\u00fc\u00df'")) {
      r.next();
      return r.getString(1) + " " + r.getString(2) + " " + r.getString(3) + " " + r.getString(4);
    }
  }

  Object parameters() throws SQLException {
    String sql = "SELECT concat_ws(' ', ?::int + 1, ?::text, ?::text IS NULL, encode(?::bytea, 'hex'), ?::float8 * 2, ?::int[], ?::date)";
    try (PreparedStatement s = c.prepareStatement(sql)) {
      s.setInt(1, 41);
      s.setString(2, "it's \\ \u20ac $1");
      s.setNull(3, Types.VARCHAR);
      s.setBytes(4, new byte[] {0, (byte) 255});
      s.setDouble(5, 1.25);
      Array numbers = c.createArrayOf("int4", new Integer[] {1, 2, 3});
      s.setArray(6, numbers);
      s.setDate(7, Date.valueOf("2026-11-22"));
      try (ResultSet r = s.executeQuery()) {
        r.next();
        return r.getString(1);
      }
    }
  }

  Object prepared() throws SQLException {
    int sum = 0;
    try (PreparedStatement s = c.prepareStatement("SELECT ?::int * 2")) {
      for (int n = 1; n <= 12; n++) {
        s.setInt(1, n);
        try (ResultSet r = s.executeQuery()) {
          r.next();
          sum += r.getInt(1);
        }
      }
    }
    return sum;
  }

  Object many() throws SQLException {
    List<PreparedStatement> all = new ArrayList<>();
    for (int i = 0; i < 30; i++) {
      PreparedStatement s = c.prepareStatement("SELECT ?::int + " + i);
      s.unwrap(org.postgresql.PGStatement.class).setPrepareThreshold(1);
      all.add(s);
    }
    int sum = 0;
    for (int n = 0; n < 3; n++) {
      for (PreparedStatement s : all) {
        s.setInt(1, n);
        try (ResultSet r = s.executeQuery()) {
          r.next();
          sum += r.getInt(1);
        }
      }
    }
    for (PreparedStatement s : all) {
      s.close();
    }
    return sum;
  }

  Object transaction() throws SQLException {
    String insert = "INSERT INTO " + table + " VALUES (?, 'kept') RETURNING pg_backend_pid()";
    c.setAutoCommit(false);
    try {
      Set<String> pids = new HashSet<>();
      pids.add(value(insert, 1));
      pids.add(value(insert, 2));
      c.commit();
      value(insert, 3);
      c.setSavepoint();
      value(insert, 4);
      c.rollback();
      if (pids.size() != 1) {
        throw new SQLException("another server within a transaction");
      }
    } finally {
      c.setAutoCommit(true);
    }
    return value("SELECT count(*) FROM " + table);
  }

  Object errors() throws Exception {
    String divide = "SELECT 1 / ?::int";
    String said = code(() -> value("INSERT INTO " + table + " VALUES (?, 'again') RETURNING n", 1));
    for (int i = 0; i < 7; i++) { // by name at last
      String again = code(() -> value(divide, 0));
      if (i == 6) {
        said += " " + again;
      }
    }
    said += " " + inTransaction(() -> code(() -> execute("SELECT 1")), () -> code(() -> execute("SELECT 1 / 0")));
    return said + " " + value(divide, 1);
  }

  /** A batch goes out at once, with one Sync; in autocommit it is one transaction. */
  Object pipeline() throws Exception {
    String count = "SELECT count(*) FROM " + table + " WHERE t = 'batch'";
    int done = batch(100, 101, 102, 103, 104, 105, 106, 107, 108, 109);
    String said = done + " " + value(count);
    return said + " " + code(() -> batch(200, 201, 100, 202)) + " " + value(count);
  }

  int batch(int... numbers) throws SQLException {
    try (PreparedStatement s = c.prepareStatement("INSERT INTO " + table + " VALUES (?, 'batch')")) {
      for (int n : numbers) {
        s.setInt(1, n);
        s.addBatch();
      }
      int done = 0;
      for (int n : s.executeBatch()) {
        done += n;
      }
      return done;
    }
  }

  Object copy() throws Exception {
    CopyManager copies = c.unwrap(PGConnection.class).getCopyAPI();
    StringBuilder lines = new StringBuilder();
    for (int n = 1000; n < 2000; n++) {
      lines.append(n).append("\tcopied\n");
    }
    copies.copyIn("COPY " + table + " FROM STDIN", new StringReader(lines.toString()));
    StringWriter read = new StringWriter();
    copies.copyOut("COPY (SELECT n FROM " + table + " WHERE t = 'copied') TO STDOUT", read);
    String bad = code(() -> copies.copyIn("COPY " + table + " FROM STDIN", new StringReader("no number\tx\n")));
    return read.toString().lines().count() + " " + bad + " " + one();
  }

  Object cursor() throws Exception {
    int[] sum = new int[1];
    inTransaction(
        () -> one(),
        () -> {
          try (PreparedStatement s = c.prepareStatement("SELECT n FROM generate_series(1, ?) n")) {
            s.setFetchSize(10);
            s.setInt(1, 1000);
            try (ResultSet r = s.executeQuery()) {
              while (r.next()) {
                sum[0] += r.getInt(1);
              }
            }
            try (ResultSet r = s.executeQuery()) {
              return r.next();
            }
          }
        });
    return sum[0] + " " + one();
  }

  Object big() throws SQLException {
    String text = value("SELECT repeat('x', ?)", 3_000_000);
    try (PreparedStatement s = c.prepareStatement("SELECT n FROM generate_series(1, ?) n")) {
      s.setInt(1, 100_000);
      try (ResultSet r = s.executeQuery()) {
        long count = 0;
        long sum = 0;
        for (; r.next(); count++) {
          sum += r.getInt(1);
        }
        return text.length() + " " + count + " " + sum;
      }
    }
  }

  String cancelled(String mark) throws Exception {
    try (PreparedStatement s = c.prepareStatement("SELECT pg_sleep(600) AS " + mark)) {
      return cancelled(mark, s);
    }
  }

  String cancelled(String mark, Statement s) throws Exception {
    Thread other =
        new Thread(
            () -> {
              try {
                awaitRunning(mark);
                s.cancel();
              } catch (Exception e) {
                say("case", "cancel", "failed", e.toString());
              }
            });
    other.start();
    String said = code(() -> ((PreparedStatement) s).executeQuery());
    other.join();
    return said;
  }

  Object cancelInTransaction() throws Exception {
    String[] said = new String[1];
    String then = inTransaction(() -> code(this::one), () -> said[0] = cancelled(user + "_t"));
    return said[0] + " " + then + " " + one();
  }

  Object cancelPrepared() throws Exception {
    String mark = user + "_p";
    try (PreparedStatement s = c.prepareStatement("SELECT pg_sleep(?) AS " + mark)) {
      s.unwrap(org.postgresql.PGStatement.class).setPrepareThreshold(1);
      s.setInt(1, 0);
      s.executeQuery().close();
      s.setInt(1, 600);
      return cancelled(mark, s) + " " + one();
    }
  }

  Object cancelIdle() throws SQLException {
    try (Statement s = c.createStatement()) {
      s.executeQuery("SELECT 1").close();
      s.cancel();
    }
    int sum = 0;
    for (int i = 0; i < 20; i++) {
      sum += Integer.parseInt(one());
    }
    return sum;
  }

  Object cut() throws Exception {
    String said = cancelled(user + "_x" + field("port"));
    try {
      return said + " " + one();
    } catch (SQLException e) {
      return said + " again " + new Main(target).one();
    }
  }

  Object timeout() throws Exception {
    try (Statement s = c.createStatement()) {
      s.setQueryTimeout(1);
      return code(() -> s.executeQuery("SELECT pg_sleep(600)")) + " " + one();
    }
  }

  Object servers() throws SQLException {
    boolean still = field("mode").equals("direct") || field("mode").equals("session");
    String first = value("SELECT pg_backend_pid()");
    for (int i = still ? 20 : 10_000; i > 0; i--) {
      if (!value("SELECT pg_backend_pid()").equals(first)) {
        return "several";
      }
    }
    return "one";
  }
}
