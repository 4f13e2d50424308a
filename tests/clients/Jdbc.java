/* What programs on pgjdbc do when they start, look around, and give a connection back to a pool. */

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.Properties;

public class Jdbc {
    interface Step {
        ResultSet run() throws Exception;
    }

    /** Runs one step, and says how many rows it gave, or how it failed. */
    static void step(String name, Step step) {
        try (ResultSet rows = step.run()) {
            int count = 0;
            while (rows != null && rows.next()) count++;
            System.out.println(name + "\t" + (rows == null ? "done" : count + " rows"));
        } catch (Exception error) {
            System.out.println(name + "\tfailed: " + error.getMessage().split("\n")[0]);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", arguments[1]);
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("ApplicationName", "DBeaver - Metadata");
        try (Connection connection = DriverManager.getConnection(arguments[0], properties)) {
            look(connection, connection.getMetaData());
            use(connection);
        }
    }

    static void look(Connection connection, DatabaseMetaData m) {
        step("getDatabaseProductVersion", () -> { m.getDatabaseProductVersion(); return null; });
        step("getSQLKeywords", () -> { m.getSQLKeywords(); return null; });
        step("getMaxConnections", () -> { m.getMaxConnections(); return null; });
        step("getMaxColumnNameLength", () -> { m.getMaxColumnNameLength(); return null; });
        step("getUserName", () -> { m.getUserName(); return null; });
        step("getNumericFunctions", () -> { m.getNumericFunctions(); return null; });
        step("getCatalogs", () -> m.getCatalogs());
        step("getSchemas", () -> m.getSchemas());
        step("getSchemas of a pattern", () -> m.getSchemas(null, "pub%"));
        step("getTableTypes", () -> m.getTableTypes());
        step("getTables", () -> m.getTables(null, null, "%", null));
        step("getTables of kinds", () -> m.getTables(null, "public", "%",
            new String[] {"TABLE", "VIEW", "SEQUENCE", "MATERIALIZED VIEW", "PARTITIONED TABLE"}));
        step("getColumns", () -> m.getColumns(null, "public", "people", null));
        step("getPrimaryKeys", () -> m.getPrimaryKeys(null, "public", "people"));
        step("getIndexInfo", () -> m.getIndexInfo(null, "public", "orders", false, true));
        step("getImportedKeys", () -> m.getImportedKeys(null, "public", "orders"));
        step("getExportedKeys", () -> m.getExportedKeys(null, "public", "people"));
        step("getCrossReference",
            () -> m.getCrossReference(null, "public", "people", null, "public", "orders"));
        step("getTypeInfo", () -> m.getTypeInfo());
        step("getUDTs", () -> m.getUDTs(null, null, "%", null));
        step("getProcedures", () -> m.getProcedures(null, null, "%"));
        step("getProcedureColumns", () -> m.getProcedureColumns(null, "public", "nothing", "%"));
        step("getFunctions", () -> m.getFunctions(null, "public", "%"));
        step("getFunctionColumns", () -> m.getFunctionColumns(null, "public", "add_one", "%"));
        step("getTablePrivileges", () -> m.getTablePrivileges(null, "public", "people"));
        step("getColumnPrivileges", () -> m.getColumnPrivileges(null, "public", "people", "%"));
        step("getBestRowIdentifier",
            () -> m.getBestRowIdentifier(null, "public", "people", 0, true));
        step("getVersionColumns", () -> m.getVersionColumns(null, "public", "people"));
        step("getClientInfoProperties", () -> m.getClientInfoProperties());
    }

    static ResultSet done(Statement statement, String sql) throws Exception {
        try (statement) {
            statement.execute(sql);
        }
        return null;
    }

    static void use(Connection c) throws Exception {
        step("isValid", () -> { c.isValid(5); return null; });
        step("getCatalog", () -> { c.getCatalog(); return null; });
        step("getSchema", () -> { c.getSchema(); return null; });
        step("getTransactionIsolation", () -> { c.getTransactionIsolation(); return null; });
        step("setSchema", () -> { c.setSchema("sales"); return null; });
        step("a query in another schema", () -> c.createStatement().executeQuery(
            "SELECT region FROM targets"));
        step("setSchema back", () -> { c.setSchema("public"); return null; });
        step("a prepared query", () -> {
            PreparedStatement query = c.prepareStatement("SELECT id, name FROM people WHERE id = ?");
            query.setInt(1, 1);
            return query.executeQuery();
        });
        step("column types of a result", () -> {
            try (ResultSet rows = c.createStatement().executeQuery("SELECT * FROM orders")) {
                rows.getMetaData().isAutoIncrement(1);
                rows.getMetaData().getTableName(1);
                rows.getMetaData().isNullable(2);
                rows.getMetaData().getColumnTypeName(4);
            }
            return null;
        });
        step("a transaction for reading", () -> {
            c.setAutoCommit(false);
            c.setReadOnly(true);
            c.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            Statement statement = c.createStatement();
            statement.setFetchSize(1);
            return statement.executeQuery("SELECT id FROM people");
        });
        step("a savepoint", () -> { c.rollback(c.setSavepoint("here")); return null; });
        step("back to a pool", () -> {
            c.rollback();
            c.setReadOnly(false);
            c.setAutoCommit(true);
            c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            c.clearWarnings();
            return null;
        });
        step("DISCARD ALL", () -> done(c.createStatement(), "DISCARD ALL"));
        step("a query after it", () -> c.createStatement().executeQuery("SELECT 1"));
    }
}
